// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
    char *path;
    int directory;
};

static void set_up(struct scene *scene, gconstpointer unused)
{
    scene->path = g_dir_make_tmp("vial-fd-XXXXXX", NULL);
    scene->directory = open(scene->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(scene->directory, >=, 0);
}

static void tear_down(struct scene *scene, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    fd_remove_tree(AT_FDCWD, scene->path, &error);
    g_assert_no_error(error);
    close(scene->directory);
    g_free(scene->path);
}

static int create(struct scene *scene, const char *name, const char *text)
{
    int made = openat(scene->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    g_assert_true(fd_write_all(made, text, strlen(text), name, NULL));
    lseek(made, 0, SEEK_SET);
    return made;
}

static bool exists(struct scene *scene, const char *name)
{
    struct stat status;
    return fstatat(scene->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t mode_of(struct scene *scene, const char *name)
{
    struct stat status;
    g_assert_no_errno(fstatat(scene->directory, name, &status, AT_SYMLINK_NOFOLLOW));
    return status.st_mode & 07777;
}

static guint open_descriptors(void)
{
    guint count = 0;
    g_autoptr(GDir) listed = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(listed) != NULL)
        count++;
    return count;
}

/* --- reading and writing ---------------------------------------------------------------------- */

static void a_stolen_descriptor_outlives_its_scope(struct scene *scene, gconstpointer unused)
{
    guint before = open_descriptors();
    int kept;
    {
        autofd int closed = create(scene, "closed", "");
        autofd int stolen = create(scene, "stolen", "");
        kept = fd_steal(&stolen);
        g_assert_cmpint(stolen, ==, -1);
    }
    g_assert_cmpuint(open_descriptors(), ==, before + 1);
    errno = 77;
    fd_close(&kept);
    fd_close(&kept);
    g_assert_cmpint(errno, ==, 77);
    g_assert_cmpint(kept, ==, -1);
    g_assert_cmpuint(open_descriptors(), ==, before);
}

static void everything_is_read_up_to_the_limit(struct scene *scene, gconstpointer unused)
{
    g_autofree char *text = g_strnfill(200000, 'x');
    autofd int file = create(scene, "f", text);
    static const size_t limits[] = { 200000, 200001, G_MAXSIZE, 199999, 0 };
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autoptr(GError) error = NULL;
        lseek(file, 0, SEEK_SET);
        g_autoptr(GBytes) bytes = fd_read_all(file, limits[i], "the file f", &error);
        g_assert_true((bytes != NULL) == (limits[i] >= 200000));
        if (bytes == NULL) {
            g_assert_error(error, FAULT, FAULT_UNSUPPORTED);
            g_assert_nonnull(strstr(error->message, "the file f is larger than"));
        } else {
            g_assert_cmpuint(g_bytes_get_size(bytes), ==, 200000);
        }
    }
    lseek(file, 199990, SEEK_SET);
    g_autoptr(GBytes) rest = fd_read_all(file, 10, "f", NULL);
    g_assert_cmpuint(g_bytes_get_size(rest), ==, 10);
    autofd int empty = create(scene, "empty", "");
    g_autoptr(GBytes) nothing = fd_read_all(empty, 0, "empty", NULL);
    g_assert_cmpuint(g_bytes_get_size(nothing), ==, 0);
    autofd int unknown_size = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    g_autoptr(GBytes) status = fd_read_all(unknown_size, 1 << 20, "status", NULL);
    g_assert_cmpuint(g_bytes_get_size(status), >, 100);
}

static gpointer write_slowly(gpointer pipe)
{
    for (int i = 0; i < 1000; i++)
        g_assert_true(fd_write_all(GPOINTER_TO_INT(pipe), "0123456789", 10, "pipe", NULL));
    close(GPOINTER_TO_INT(pipe));
    return NULL;
}

static void short_reads_are_continued(struct scene *scene, gconstpointer unused)
{
    int ends[2];
    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    GThread *writer = g_thread_new("writer", write_slowly, GINT_TO_POINTER(ends[1]));
    char data[9999];
    g_assert_cmpint(fd_read_full(ends[0], data, sizeof data, "pipe", NULL), ==, sizeof data);
    g_assert_cmpint(fd_read_full(ends[0], data, sizeof data, "pipe", NULL), ==, 1);
    g_assert_cmpint(fd_read_full(ends[0], data, sizeof data, "pipe", NULL), ==, 0);
    g_thread_join(writer);
    close(ends[0]);
}

static void errors_name_what_and_why(struct scene *scene, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    char byte;
    autofd int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    g_assert_false(fd_write_all(full, "x", 1, "the disk", &error));
    g_assert_error(error, FAULT, FAULT_NO_SPACE);
    g_assert_cmpstr(error->message, ==, "cannot write the disk: No space left on device");
    g_clear_error(&error);
    g_assert_cmpint(fd_read_full(scene->directory, &byte, 1, "a directory", &error), ==, -1);
    g_assert_error(error, FAULT, FAULT_IO);
    g_assert_cmpstr(error->message, ==, "cannot read a directory: Is a directory");
    g_assert_null(fd_read_all(scene->directory, 10, "a directory", NULL));
    g_assert_false(fd_write_all(-1, "x", 1, "nothing", NULL));
    g_assert_true(fd_write_all(-1, NULL, 0, "nothing", NULL));
}

static void copies_keep_holes(struct scene *scene, gconstpointer unused)
{
    static const off_t places[] = { 0, 5 << 20, (8 << 20) - 4 };
    static const volatile int raised = 1;
    for (guint which = 0; which < 8; which++) {
        g_autofree char *source = g_strdup_printf("from%u", which);
        g_autofree char *copy = g_strdup_printf("to%u", which);
        autofd int from = create(scene, source, "");
        autofd int to = create(scene, copy, "");
        struct stat status;
        g_assert_cmpint(ftruncate(from, 8 << 20), ==, 0);
        for (guint i = 0; i < G_N_ELEMENTS(places); i++)
            if ((which >> i & 1) != 0)
                g_assert_cmpint(pwrite(from, "data", 4, places[i]), ==, 4);
        g_assert_true(fd_copy(from, to, 8 << 20, "from", NULL, NULL));
        g_assert_cmpint(fstat(to, &status), ==, 0);
        g_assert_cmpint(status.st_size, ==, 8 << 20);
        g_assert_cmpint(status.st_blocks, <=, 3 * 128);
        lseek(from, 0, SEEK_SET);
        lseek(to, 0, SEEK_SET);
        g_autoptr(GBytes) copied = fd_read_all(to, 9 << 20, "to", NULL);
        g_autoptr(GBytes) expected = fd_read_all(from, 9 << 20, "from", NULL);
        g_assert_true(g_bytes_equal(copied, expected));
    }
    g_autofree char *text = g_strnfill(300000, 'y');
    autofd int from = create(scene, "from", text);
    autofd int to = create(scene, "to", "");
    g_autoptr(GError) error = NULL;
    if (!fd_copy(from, to, 300000, "from", &raised, &error)) /* a clone is done at once */
        g_assert_error(error, FAULT, FAULT_CANCELLED);
}

static void copies_are_exact(struct scene *scene, gconstpointer unused)
{
    g_autofree char *text = g_strnfill(300000, 'y');
    text[299999] = 'z';
    autofd int from = create(scene, "from", text);
    lseek(from, 1000, SEEK_SET); /* where the source stands makes no difference */
    static const off_t sizes[] = { 0, 1, 131072, 299999, 300000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *name = g_strdup_printf("to%zu", i);
        autofd int to = create(scene, name, "");
        g_assert_true(fd_copy(from, to, sizes[i], "from", NULL, NULL));
        lseek(to, 0, SEEK_SET);
        g_autoptr(GBytes) copied = fd_read_all(to, 1 << 20, name, NULL);
        g_autoptr(GBytes) expected = g_bytes_new(text, (size_t)sizes[i]);
        g_assert_true(g_bytes_equal(copied, expected));
    }
    autofd int to = create(scene, "too-long", "");
    g_autoptr(GError) error = NULL;
    g_assert_false(fd_copy(from, to, 300001, "from", NULL, &error));
    g_assert_error(error, FAULT, FAULT_CHANGED);
    /* a file that copy_file_range() takes for empty */
    autofd int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    autofd int beginning = create(scene, "status", "");
    g_assert_true(fd_copy(status, beginning, 5, "status", NULL, NULL));
    char data[6] = { 0 };
    g_assert_cmpint(pread(beginning, data, 5, 0), ==, 5);
    g_assert_cmpstr(data, ==, "Name:");
}

static void bytes_become_an_anonymous_file(struct scene *scene, gconstpointer unused)
{
    autofd int made = fd_from_bytes("a\0b", 3, NULL);
    g_autoptr(GBytes) bytes = fd_read_all(made, 3, "memory", NULL);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 3);
    g_assert_true(fcntl(made, F_GETFD) & FD_CLOEXEC);
    autofd int empty = fd_from_bytes(NULL, 0, NULL);
    g_assert_cmpint(lseek(empty, 0, SEEK_END), ==, 0);
}

static void times_beyond_the_range_are_clamped(struct scene *scene, gconstpointer unused)
{
    g_assert_cmpint(fd_nanoseconds((struct timespec){ 1, 2 }), ==, 1000000002);
    g_assert_cmpint(fd_nanoseconds((struct timespec){ -1, 999999999 }), ==, -1);
    g_assert_cmpint(fd_nanoseconds((struct timespec){ G_MAXINT64, 0 }), ==, G_MAXINT64);
    g_assert_cmpint(fd_nanoseconds((struct timespec){ G_MININT64, 0 }), ==, G_MININT64);
    g_assert_cmpint(fd_nanoseconds((struct timespec){ 9223372035, 999999999 }), >, 0);
}

static void times_come_back(struct scene *scene, gconstpointer unused)
{
    static const gint64 times[] = { 0,           1,         -1,         -1000000000,
                                    -1000000001, 999999999, G_MAXINT64, G_MININT64 };
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        struct timespec parts = fd_timespec(times[i]);
        g_assert_cmpint(parts.tv_nsec, >=, 0);
        g_assert_cmpint(parts.tv_nsec, <, 1000000000);
        g_assert_cmpint((gint64)parts.tv_sec, ==,
                        times[i] / 1000000000 - (times[i] % 1000000000 < 0));
        if (times[i] > G_MININT64 / 2 && times[i] < G_MAXINT64 / 2)
            g_assert_cmpint(fd_nanoseconds(parts), ==, times[i]);
    }
}

/* --- directories ------------------------------------------------------------------------------ */

static void missing_parents_are_made(struct scene *scene, gconstpointer unused)
{
    g_assert_true(fd_make_parents(scene->directory, "a/b//c/file", NULL));
    g_assert_true(fd_make_parents(scene->directory, "a/b//c/file", NULL));
    g_assert_true(exists(scene, "a/b/c"));
    g_assert_false(exists(scene, "a/b/c/file"));
    g_assert_true(fd_make_parents(scene->directory, "file", NULL));
    g_assert_true(fd_make_parents(scene->directory, "", NULL));
    g_assert_true(fd_make_parents(scene->directory, "last///", NULL));
    g_assert_false(exists(scene, "file"));
    g_assert_false(exists(scene, "last"));
    autofd int file = create(scene, "f", "");
    g_autoptr(GError) error = NULL;
    g_assert_false(fd_make_parents(scene->directory, "f/x/y", &error));
    g_assert_error(error, FAULT, FAULT_IO);
    g_assert_cmpstr(error->message, ==, "cannot make the directory f/x: Not a directory");
}

static void directories_get_the_mode_asked_for(struct scene *scene, gconstpointer unused)
{
    static const char *const names[] = { "private", "p/q/private", "p/r/private/",
                                         "p/s/private//" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(scene->path, names[i], NULL);
        g_assert_true(fd_make_directories(path, 0700, NULL));
        g_assert_true(fd_make_directories(path, 0755, NULL)); /* left as it is */
        g_assert_cmphex(mode_of(scene, names[i]), ==, 0700);
    }
    g_assert_cmphex(mode_of(scene, "p") & 0700, ==, 0700);
    autofd int file = create(scene, "f", "");
    g_assert_no_errno(symlinkat("nowhere", scene->directory, "dangling"));
    g_assert_no_errno(symlinkat("p", scene->directory, "link"));
    static const char *const bad[] = { "f", "f/x", "dangling", "dangling/x" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(scene->path, bad[i], NULL);
        g_assert_false(fd_make_directories(path, 0700, &error));
        g_assert_error(error, FAULT, FAULT_IO);
        g_assert_nonnull(strstr(error->message, path));
    }
    g_autofree char *through = g_build_filename(scene->path, "link/t", NULL);
    g_assert_true(fd_make_directories(through, 0700, NULL));
    g_assert_true(exists(scene, "p/t"));
}

static void nothing_is_opened_beyond_a_link_or_the_root(struct scene *scene, gconstpointer unused)
{
    autofd int file = create(scene, "f", "text");
    g_assert_true(fd_make_parents(scene->directory, "a/b/c", NULL));
    g_assert_no_errno(symlinkat("f", scene->directory, "link"));
    g_assert_no_errno(symlinkat("a", scene->directory, "linked"));
    g_assert_no_errno(symlinkat("/", scene->directory, "a/root"));
    static const struct {
        const char *path;
        int number, other;
    } bad[] = {
        { "link", ELOOP, ELOOP },     { "linked/b", ELOOP, ENOTDIR },
        { "..", EXDEV, EXDEV },       { "a/root/etc", ELOOP, ENOTDIR },
        { "/etc", EXDEV, EXDEV },     { "a/../../etc", EXDEV, EXDEV },
        { "absent", ENOENT, ENOENT }, { "f/x", ENOTDIR, ENOTDIR },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        errno = 0;
        autofd int found = fd_open_beneath(scene->directory, bad[i].path, O_RDONLY, 0);
        g_assert_cmpint(found, <, 0);
        g_assert_true(errno == bad[i].number || errno == bad[i].other);
    }
    autofd int opened = fd_open_beneath(scene->directory, "f", O_RDONLY, 0666);
    g_assert_cmpint(opened, >=, 0);
    g_assert_true(fcntl(opened, F_GETFD) & FD_CLOEXEC);
    autofd int made =
        fd_open_beneath(scene->directory, "a/b/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    g_assert_cmpint(made, >=, 0);
    g_assert_cmphex(mode_of(scene, "a/b/new"), ==, 0600);
    autofd int unnamed = fd_open_beneath(scene->directory, "a", O_WRONLY | O_TMPFILE, 0600);
    g_assert_true(unnamed >= 0 || errno == EOPNOTSUPP);
}

static void a_path_longer_than_a_system_call_takes_is_walked(struct scene *scene,
                                                             gconstpointer unused)
{
    g_autoptr(GString) path = g_string_new("d");
    g_autofree char *name = g_strnfill(200, 'd');
    autofd int directory = openat(scene->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_no_errno(mkdirat(directory, "d", 0700));
    int next = openat(directory, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < 25; i++) {
        fd_close(&directory);
        directory = next;
        g_assert_no_errno(mkdirat(directory, name, 0700));
        next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        g_string_append_printf(path, "/%s", name);
    }
    close(next);
    autofd int opened = fd_open_beneath(scene->directory, path->str, O_RDONLY | O_DIRECTORY, 0);
    g_assert_cmpint(opened, >=, 0);
    g_string_append(path, "/absent");
    autofd int absent = fd_open_beneath(scene->directory, path->str, O_RDONLY, 0);
    g_assert_cmpint(absent, <, 0);
    g_assert_cmpint(errno, ==, ENOENT);
}

/* --- removal ---------------------------------------------------------------------------------- */

static void removal_never_follows_a_link(struct scene *scene, gconstpointer unused)
{
    g_assert_true(fd_make_parents(scene->directory, "keep/x/", NULL));
    close(create(scene, "keep/file", ""));
    g_assert_true(fd_make_parents(scene->directory, "gone/deep/x/y", NULL));
    g_assert_no_errno(symlinkat("../keep", scene->directory, "gone/link"));
    g_assert_no_errno(symlinkat("../../keep", scene->directory, "gone/deep/link"));
    g_assert_no_errno(symlinkat("keep", scene->directory, "link"));
    g_assert_no_errno(mkfifoat(scene->directory, "gone/fifo", 0600));
    close(create(scene, "gone/deep/x/file", ""));
    close(create(scene, "alone", ""));
    static const char *const names[] = { "gone", "link", "alone", "absent", "absent/x" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        fd_remove_tree(scene->directory, names[i], &error);
        g_assert_no_error(error);
        g_assert_false(exists(scene, names[i]));
    }
    g_assert_true(exists(scene, "keep/file"));
    g_autoptr(GError) error = NULL;
    g_assert_false(fd_remove_tree(scene->directory, "keep/file/x", &error));
    g_assert_error(error, FAULT, FAULT_IO);
}

static int make_deep(int top, guint levels)
{
    static const char name[] = "a-name-that-is-not-short";
    int current = dup(top);
    for (guint i = 0; i < levels; i++) {
        g_assert_no_errno(mkdirat(current, name, 0700));
        close(openat(current, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        int next = openat(current, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        close(current);
        current = next;
    }
    return current;
}

/* Deeper than a path can name, and with fewer descriptors than levels. */
static void removal_works_at_any_depth(struct scene *scene, gconstpointer unused)
{
    struct rlimit before, few;
    g_assert_no_errno(mkdirat(scene->directory, "top", 0700));
    autofd int top = openat(scene->directory, "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(make_deep(top, 300));
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &few);
    guint open_before = open_descriptors();
    g_autoptr(GError) error = NULL;
    fd_remove_tree(scene->directory, "top", &error);
    g_assert_no_error(error);
    g_assert_false(exists(scene, "top"));
    g_assert_cmpuint(open_descriptors(), ==, open_before);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void removal_works_at_any_width(struct scene *scene, gconstpointer unused)
{
    for (int i = 0; i < 600; i++) {
        g_autofree char *path = g_strdup_printf("top/%d/file", i);
        g_assert_true(fd_make_parents(scene->directory, path, NULL));
        if (i % 3 == 0)
            close(create(scene, path, ""));
    }
    g_assert_true(fd_remove_tree(scene->directory, "top", NULL));
    g_assert_false(exists(scene, "top"));
}

static int remove_locked(const char *path)
{
    if (geteuid() == 0 && (chown(path, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
        return 2;
    struct scene scene = { (char *)path, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    fd_make_parents(scene.directory, "top/a/b/c/x", NULL);
    close(create(&scene, "top/a/b/file", ""));
    static const struct {
        const char *name;
        mode_t mode;
    } locks[] = { { "top/a/b/c", 0000 }, { "top/a/b", 0500 }, { "top/a", 0300 }, { "top", 0400 } };
    for (size_t i = 0; i < G_N_ELEMENTS(locks); i++)
        if (fchmodat(scene.directory, locks[i].name, locks[i].mode, 0) < 0)
            return 3;
    g_autoptr(GError) error = NULL;
    if (!fd_remove_tree(scene.directory, "top", &error))
        return 4;
    return exists(&scene, "top") ? 5 : 0;
}

/* In a process of its own, as an ordinary user. */
static void locked_directories_are_removed(struct scene *scene, gconstpointer unused)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(remove_locked(scene->path));
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmphex((guint)status, ==, 0);
}

static int remove_mounted(const char *path)
{
    g_autofree char *mounted = g_build_filename(path, "top/a/mounted", NULL);
    g_autofree char *inside = g_build_filename(mounted, "file", NULL);
    g_autofree char *top = g_build_filename(path, "top", NULL);
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0)
        return 77;
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
        mount("tmpfs", mounted, "tmpfs", 0, "") < 0)
        return 77;
    g_autoptr(GError) error = NULL;
    if (!g_file_set_contents(inside, "x", 1, NULL) || fd_remove_tree(AT_FDCWD, top, &error))
        return 3;
    if (strstr(error->message, mounted) == NULL)
        return 4;
    return g_access(inside, F_OK) == 0 ? 0 : 5;
}

static void removal_does_not_enter_a_mount(struct scene *scene, gconstpointer unused)
{
    int status;
    g_assert_true(fd_make_parents(scene->directory, "top/a/mounted/", NULL));
    g_assert_no_errno(mkdirat(scene->directory, "top/a/mounted", 0700));
    pid_t child = fork();
    if (child == 0)
        _exit(remove_mounted(scene->path));
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("mount namespaces are refused here");
    else
        g_assert_cmphex((guint)status, ==, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(struct scene *scene, gconstpointer unused);
    } tests[] = {
        { "/base/fd/a-stolen-descriptor-outlives-its-scope",
          a_stolen_descriptor_outlives_its_scope },
        { "/base/fd/everything-is-read-up-to-the-limit", everything_is_read_up_to_the_limit },
        { "/base/fd/short-reads-are-continued", short_reads_are_continued },
        { "/base/fd/errors-name-what-and-why", errors_name_what_and_why },
        { "/base/fd/copies-are-exact", copies_are_exact },
        { "/base/fd/copies-keep-holes", copies_keep_holes },
        { "/base/fd/bytes-become-an-anonymous-file", bytes_become_an_anonymous_file },
        { "/base/fd/times-beyond-the-range-are-clamped", times_beyond_the_range_are_clamped },
        { "/base/fd/times-come-back", times_come_back },
        { "/base/fd/missing-parents-are-made", missing_parents_are_made },
        { "/base/fd/directories-get-the-mode-asked-for", directories_get_the_mode_asked_for },
        { "/base/fd/nothing-is-opened-beyond-a-link-or-the-root",
          nothing_is_opened_beyond_a_link_or_the_root },
        { "/base/fd/a-path-longer-than-a-system-call-takes-is-walked",
          a_path_longer_than_a_system_call_takes_is_walked },
        { "/base/fd/removal-never-follows-a-link", removal_never_follows_a_link },
        { "/base/fd/removal-works-at-any-depth", removal_works_at_any_depth },
        { "/base/fd/removal-works-at-any-width", removal_works_at_any_width },
        { "/base/fd/locked-directories-are-removed", locked_directories_are_removed },
        { "/base/fd/removal-does-not-enter-a-mount", removal_does_not_enter_a_mount },
    };
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, struct scene, NULL, set_up, tests[i].test, tear_down);
    return g_test_run();
}
