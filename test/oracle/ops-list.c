// SPDX-License-Identifier: Apache-2.0
/* Directories read as a whole, again, and while they change. */
#include "oracle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct entry { /* of getdents64(2) */
    guint64 inode;
    gint64 offset;
    guint16 length;
    guint8 type;
    char name[];
};

/* One call with a buffer of `room` bytes; names are added; the count, 0 at the end, -1 on error. */
static ssize_t read_some(int directory, size_t room, GPtrArray *names, gint64 *last)
{
    char buffer[8192];
    ssize_t got = syscall(SYS_getdents64, directory, buffer, MIN(room, sizeof buffer));
    for (ssize_t at = 0; at < got;) {
        const struct entry *entry = (const void *)(buffer + at);
        g_autofree char *name = escape(entry->name);
        g_ptr_array_add(names, g_strdup_printf("%s:%u", name, entry->type));
        if (last != NULL)
            *last = entry->offset;
        at += entry->length;
    }
    return got;
}

static bool read_rest(int directory, GPtrArray *names)
{
    ssize_t got;
    while ((got = read_some(directory, 1024, names, NULL)) > 0)
        continue;
    return got == 0;
}

static int open_directory(struct actor *actor, const char *path, struct answer *answer)
{
    g_auto(place) place = actor_place(actor, path);
    int directory =
        openat(place.directory, place.path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    answer_status(answer, directory);
    return directory;
}

static void run_list(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    if (directory < 0)
        return;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (!read_rest(directory, names))
        answer_add(answer, " %s", errno_name(errno));
    answer_words(answer, names);
    close(directory);
}

/* The directory in a slot, from its beginning again. */
static void run_relist(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = actor_slot(actor, a[0].number);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    struct stat status;
    bool seeks = fstat(directory, &status) == 0 && S_ISDIR(status.st_mode);
    if (seeks)
        lseek(directory, 0, SEEK_SET);
    if (answer_status(answer, read_rest(directory, names) ? 0 : -1))
        answer_words(answer, names);
    if (seeks) /* where the end is decides how read(2) on a directory fails */
        lseek(directory, 0, SEEK_SET);
}

/* --- many names --------------------------------------------------------------------------------
 */

static void many_name(char name[16], unsigned i)
{
    snprintf(name, 16, "k%03u", i);
}

static void run_fill(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    unsigned made = 0;
    char name[16];
    for (unsigned i = 0; directory >= 0 && i < a[1].number; i++) {
        many_name(name, i);
        int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        made += file >= 0;
        close(file);
    }
    if (directory >= 0)
        answer_add(answer, " made %u", made);
    close(directory);
}

/* Remove every n-th of them. */
static void run_drain(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    unsigned removed = 0;
    char name[16];
    for (unsigned i = 0; directory >= 0 && i < 400; i += (unsigned)MAX(a[1].number, 1)) {
        many_name(name, i);
        removed += unlinkat(directory, name, 0) == 0;
    }
    if (directory >= 0)
        answer_add(answer, " removed %u", removed);
    close(directory);
}

/*
 * Names come and go while the directory is read. Those which stay are given once each; for the
 * others POSIX promises nothing.
 */
static void run_shift(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    if (directory < 0)
        return;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    read_some(directory, 200, names, NULL);
    for (unsigned i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "j%03u", i);
        if (i % 2 == 0 || unlinkat(directory, name, 0) != 0)
            close(openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    if (!read_rest(directory, names))
        answer_add(answer, " %s", errno_name(errno));
    for (guint i = names->len; i > 0; i--) {
        const char *name = names->pdata[i - 1];
        if (name[0] == 'j' && strlen(name) == strlen("j000:8"))
            g_ptr_array_remove_index(names, i - 1);
    }
    answer_words(answer, names);
    close(directory);
}

/* Go back to a place in the middle: what follows is the same as the first time. */
static void run_rewind(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    if (directory < 0)
        return;
    g_autoptr(GPtrArray) first = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) once = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) again = g_ptr_array_new_with_free_func(g_free);
    gint64 place = 0;
    read_some(directory, 100, first, &place);
    bool good = read_rest(directory, once) && lseek(directory, place, SEEK_SET) == place &&
                read_rest(directory, again);
    answer_add(answer, good && once->len == again->len ? " same" : " other");
    for (guint i = 0; good && i < MIN(once->len, again->len); i++) {
        if (!g_str_equal(once->pdata[i], again->pdata[i]))
            answer_add(answer, " !%s", (char *)again->pdata[i]);
    }
    g_ptr_array_extend_and_steal(first, g_steal_pointer(&once));
    answer_words(answer, first);
    close(directory);
}

/*
 * Names whose inode number here is not the one that stat gives. "." and ".." may be anything, and a
 * view cannot know of several names of one file before somebody asks for them.
 */
static void run_inodes(struct actor *actor, const struct argument *a, struct answer *answer)
{
    int directory = open_directory(actor, a[0].text, answer);
    DIR *stream = directory < 0 ? NULL : fdopendir(directory);
    const struct dirent *entry;
    unsigned wrong = 0;
    if (stream == NULL)
        return;
    while ((entry = readdir(stream)) != NULL) {
        struct stat status;
        if (entry->d_name[0] != '.' &&
            fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISDIR(status.st_mode) || status.st_nlink == 1))
            wrong += status.st_ino != entry->d_ino;
    }
    answer_add(answer, " %u wrong", wrong);
    closedir(stream);
}

const struct kind list_kinds[] = {
    { "list", "p", NULL, run_list },     { "relist", "s", NULL, run_relist },
    { "fill", "pn", NULL, run_fill },    { "drain", "pn", NULL, run_drain },
    { "shift", "p", NULL, run_shift },   { "rewind", "p", NULL, run_rewind },
    { "inodes", "p", NULL, run_inodes }, { NULL, NULL, NULL, NULL },
};
