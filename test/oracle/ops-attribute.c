// SPDX-License-Identifier: Apache-2.0
/* Operations on what files are called besides their names: modes, owners, times, attributes. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

void answer_stat(struct answer *answer, const struct actor *actor, const struct stat *status)
{
    answer_add(answer, " %s %o", kind_of_mode(status->st_mode), status->st_mode & 07777);
    /* Of a file that the host has, a view says that it has several names, not how many. */
    if (!S_ISDIR(status->st_mode) && status->st_nlink > 1)
        answer_add(answer, " linked");
    else if (!S_ISDIR(status->st_mode))
        answer_add(answer, " nlink %lu", (unsigned long)status->st_nlink);
    if (S_ISREG(status->st_mode))
        answer_add(answer, " size %lld", (long long)status->st_size);
    if (status->st_uid != geteuid())
        answer_add(answer, " uid %u", status->st_uid);
    if (IS_CHOSEN_TIME(status->st_mtime))
        answer_add(answer, " mtime %lld.%09ld", (long long)status->st_mtime,
                   status->st_mtim.tv_nsec);
    for (int i = 0; i < SLOTS; i++) {
        struct stat other;
        int file = actor_slot(actor, i);
        if (file >= 0 && fstat(file, &other) == 0 && other.st_dev == status->st_dev &&
            other.st_ino == status->st_ino)
            answer_add(answer, " =%%%d", i);
    }
}

static const struct flag at_flags[] = {
    { "0", 0 },
    { "AT_SYMLINK_NOFOLLOW", AT_SYMLINK_NOFOLLOW },
    { "AT_EMPTY_PATH", AT_EMPTY_PATH },
    { NULL, 0 },
};

static void run_stat(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    struct stat status;
    if (answer_status(answer, fstatat(place.directory, place.path, &status, (int)a[1].number)))
        answer_stat(answer, actor, &status);
}

static void run_fstat(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct stat status;
    int file = actor_slot(actor, a[0].number);
    if (!answer_status(answer, fstat(file, &status)))
        return;
    if (S_ISSOCK(status.st_mode) && !(fcntl(file, F_GETFL) & O_PATH))
        answer_add(answer, " socket"); /* itself, which is in no file system */
    else
        answer_stat(answer, actor, &status);
}

static void run_same(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) left = actor_place(actor, a[0].text);
    g_auto(place) right = actor_place(actor, a[1].text);
    struct stat one, two;
    if (fstatat(left.directory, left.path, &one, AT_SYMLINK_NOFOLLOW) != 0 ||
        fstatat(right.directory, right.path, &two, AT_SYMLINK_NOFOLLOW) != 0)
        answer_status(answer, -1);
    else if (one.st_dev != two.st_dev)
        answer_add(answer, "other device");
    else
        answer_add(answer, "%s", one.st_ino == two.st_ino ? "same" : "different");
}

static const struct flag access_flags[] = {
    { "F", F_OK }, { "R", R_OK }, { "W", W_OK }, { "X", X_OK }, { "EACCESS", 0x1000 }, { NULL, 0 },
};

static void run_access(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    int flags = a[1].number & 0x1000 ? AT_EACCESS : 0;
    answer_status(answer,
                  faccessat(place.directory, place.path, (int)(a[1].number & 0xfff), flags));
}

static void run_chmod(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, fchmodat(place.directory, place.path, (mode_t)a[1].number, 0));
}

static void run_fchmod(struct actor *actor, const struct argument *a, struct answer *answer)
{
    answer_status(answer, fchmod(actor_slot(actor, a[0].number), (mode_t)a[1].number));
}

/* To oneself, which still clears set-user-ID bits. */
static void run_chown(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer,
                  fchownat(place.directory, place.path, geteuid(), getegid(), (int)a[1].number));
}

/* Two whole numbers: seconds of atime and of mtime; -1 leaves it, 0 is now. */
static void set_times(const struct argument *a, struct timespec times[2])
{
    for (int i = 0; i < 2; i++) {
        times[i] = (struct timespec){ .tv_sec = (time_t)a[i].number, .tv_nsec = 123456789 };
        if (a[i].number <= 0)
            times[i].tv_nsec = a[i].number == 0 ? UTIME_NOW : UTIME_OMIT;
    }
}

static void run_utimes(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    struct timespec times[2];
    set_times(a + 1, times);
    answer_status(answer, utimensat(place.directory, place.path, times, (int)a[3].number));
}

static void run_futimes(struct actor *actor, const struct argument *a, struct answer *answer)
{
    struct timespec times[2];
    set_times(a + 1, times);
    answer_status(answer, futimens(actor_slot(actor, a[0].number), times));
}

static void run_statfs(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    struct statvfs status;
    if (answer_status(answer, statvfs(place.plain, &status)))
        answer_add(answer, " namemax %lu", status.f_namemax);
}

static bool write_byte(const struct place *place)
{
    int file = openat(place->directory, place->path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return false;
    bool good = write(file, "x", 1) == 1;
    int number = errno;
    close(file);
    errno = number;
    return good;
}

static bool is_before(struct timespec left, struct timespec right)
{
    return left.tv_sec < right.tv_sec ||
           (left.tv_sec == right.tv_sec && left.tv_nsec < right.tv_nsec);
}

/* Wait until the clock of file times, which is behind the real one, has passed this moment. */
static void tick(void)
{
    struct timespec before, now, step = { .tv_nsec = 1000000 };
    clock_gettime(CLOCK_REALTIME, &before);
    do {
        nanosleep(&step, NULL);
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    } while (!is_before(before, now));
}

static void run_order(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) first = actor_place(actor, a[0].text);
    g_auto(place) second = actor_place(actor, a[1].text);
    struct stat one, two;
    if (!answer_status(answer, write_byte(&first) ? 0 : -1))
        return;
    tick();
    answer_add(answer, " ");
    if (!answer_status(answer, write_byte(&second) ? 0 : -1))
        return;
    if (fstatat(first.directory, first.path, &one, 0) != 0 ||
        fstatat(second.directory, second.path, &two, 0) != 0)
        return;
    bool later = is_before(one.st_mtim, two.st_mtim);
    answer_add(answer, one.st_ino == two.st_ino ? " same" : later ? " younger" : " not younger");
}

/* --- extended attributes -----------------------------------------------------------------------
 */

static const struct flag attribute_flags[] = {
    { "0", 0 },  { "CREATE", XATTR_CREATE }, { "REPLACE", XATTR_REPLACE }, { "NOFOLLOW", 0x100 },
    { NULL, 0 },
};

static void run_setxattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    char value[256];
    size_t size = (size_t)CLAMP(a[2].number, 0, (gint64)sizeof value);
    pattern_fill(value, size, a[3].number);
    int flags = (int)a[4].number & 0xff;
    answer_status(answer, a[4].number & 0x100
                              ? lsetxattr(place.plain, a[1].text, value, size, flags)
                              : setxattr(place.plain, a[1].text, value, size, flags));
}

static void run_fsetxattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    char value[256];
    size_t size = (size_t)CLAMP(a[2].number, 0, (gint64)sizeof value);
    pattern_fill(value, size, a[3].number);
    answer_status(answer, fsetxattr(actor_slot(actor, a[0].number), a[1].text, value, size,
                                    (int)a[4].number & 0xff));
}

static void answer_value(struct answer *answer, ssize_t length, const char *value, size_t room)
{
    if (answer_number(answer, length) && room > 0)
        answer_add(answer, " %08x", (unsigned)digest_bytes(DIGEST_START, value, (size_t)length));
}

static void run_getxattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    char value[256];
    size_t room = (size_t)CLAMP(a[2].number, 0, (gint64)sizeof value);
    answer_value(answer, getxattr(place.plain, a[1].text, value, room), value, room);
}

static void run_fgetxattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    char value[256];
    size_t room = (size_t)CLAMP(a[2].number, 0, (gint64)sizeof value);
    int file = actor_slot(actor, a[0].number);
    answer_value(answer, fgetxattr(file, a[1].text, value, room), value, room);
}

static void run_listxattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    char list[4096];
    ssize_t size = listxattr(place.plain, list, sizeof list);
    if (!answer_status(answer, size))
        return;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (char *at = list; at < list + size; at += strlen(at) + 1) {
        if (g_str_has_prefix(at, "user."))
            g_ptr_array_add(names, at);
    }
    answer_words(answer, names);
}

static void run_removexattr(struct actor *actor, const struct argument *a, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, a[0].text);
    answer_status(answer, removexattr(place.plain, a[1].text));
}

const struct kind attribute_kinds[] = {
    { "stat", "pf", at_flags, run_stat },
    { "fstat", "s", NULL, run_fstat },
    { "same", "pp", NULL, run_same },
    { "access", "pf", access_flags, run_access },
    { "chmod", "po", NULL, run_chmod },
    { "fchmod", "so", NULL, run_fchmod },
    { "chown", "pf", at_flags, run_chown },
    { "utimes", "pnnf", at_flags, run_utimes },
    { "futimes", "snn", NULL, run_futimes },
    { "statfs", "p", NULL, run_statfs },
    { "order", "pp", NULL, run_order },
    { "setxattr", "ptnnf", attribute_flags, run_setxattr },
    { "fsetxattr", "stnnf", attribute_flags, run_fsetxattr },
    { "getxattr", "ptn", NULL, run_getxattr },
    { "fgetxattr", "stn", NULL, run_fgetxattr },
    { "listxattr", "p", NULL, run_listxattr },
    { "removexattr", "pt", NULL, run_removexattr },
    { NULL, NULL, NULL, NULL },
};
