// SPDX-License-Identifier: Apache-2.0
/* vial doctor: tries what this machine offers, and says what vial does without the rest. */
#include "base/fd.h"
#include "cli/cli.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

struct report {
    bool lacking; /* something without which nothing is sealed */
};

static void say(const char *what, bool ok, const char *answer, const char *without)
{
    printf("%-4s %-16s %s\n", ok ? "ok" : "no", what, answer);
    if (!ok && without != NULL)
        printf("%-4s %-16s -> %s\n", "", "", without);
}

static void check_kernel(void)
{
    struct utsname system;
    uname(&system);
    g_autofree char *text =
        g_strdup_printf("%s %s, %s", system.sysname, system.release, system.machine);
    say("kernel", true, text, NULL);
}

static void check_sandbox(struct report *report)
{
    g_autofree char *reason = NULL;
    bool ok = sandbox_probe(&reason) == SANDBOX_NAMESPACES;
    report->lacking = report->lacking || !ok;
    say("namespaces", ok,
        ok               ? "user, mount, pid, ipc, uts and net: commands are sealed"
        : reason != NULL ? reason
                         : "refused",
        "commands get a directory and a clean environment only; they can see the host, and their "
        "results are kept apart from sealed ones. Ask for user.max_user_namespaces > 0, or run "
        "the container with --security-opt seccomp=unconfined");
}

static void check_fuse(void)
{
    autofd int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    g_autofree char *refused =
        device >= 0 ? NULL : g_strdup_printf("/dev/fuse: %s", g_strerror(errno));
    struct stat status;
    bool is_fuse = device >= 0 && fstat(device, &status) == 0 && S_ISCHR(status.st_mode) &&
                   status.st_rdev == makedev(10, 229); /* Documentation/admin-guide/devices.txt */
    say("FUSE", is_fuse,
        is_fuse       ? "/dev/fuse opens: runs are observed"
        : device >= 0 ? "/dev/fuse is another device"
                      : refused,
        "every run is sealed: its inputs, by default all of the workspace, are copied, and it "
        "depends "
        "on all of them");
}

static bool kernel_at_least(int major, int minor)
{
    struct utsname system;
    int found_major = 0, found_minor = 0;
    uname(&system);
    sscanf(system.release, "%d.%d", &found_major, &found_minor);
    return found_major > major || (found_major == major && found_minor >= minor);
}

static void check_passthrough(void)
{
    bool ok = kernel_at_least(6, 9) && geteuid() == 0;
    say("pass-through", ok,
        ok ? "Linux 6.9 or newer, and root: the kernel may grant it"
           : "needs Linux 6.9 and CAP_SYS_ADMIN outside of any user namespace",
        "files are read and written through vial, at some microseconds for each read and write");
}

/* Try FICLONE between two nameless files where the store lies. */
static void check_store_disk(const char *path)
{
    char block[4096] = { 1 };
    autofd int from = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    autofd int to = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool writable = from >= 0 && to >= 0 && write(from, block, sizeof block) == sizeof block;
    say("O_TMPFILE", writable, writable ? "the store's file system has it" : g_strerror(errno),
        "temporary names are used instead");
    bool reflink = writable && ioctl(to, FICLONE, from) == 0;
    say("reflink", reflink,
        reflink ? "large files are shared, not copied" : "the store's file system has none",
        "large files are copied");
}

static void check_store(struct report *report)
{
    g_autofree char *path = store_default_path();
    g_autofree char *notice = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = store_open(path, NULL, &notice, &error);
    struct statvfs disk;
    if (store == NULL) {
        report->lacking = true;
        say("store", false, error->message, "every command runs each time");
        return;
    }
    guint64 left = statvfs(path, &disk) == 0 ? (guint64)disk.f_bavail * disk.f_frsize : 0;
    g_autofree char *size = g_format_size_full(left, G_FORMAT_SIZE_IEC_UNITS);
    bool ok = !store_is_read_only(store);
    g_autofree char *text =
        g_strdup_printf("%s%s, %s free on its disk", path, ok ? "" : " (read-only)", size);
    say("store", ok, text, "results are reused, new ones are not kept");
    if (notice != NULL)
        printf("%-4s %-16s -> %s\n", "", "", notice);
    check_store_disk(path);
}

static void check_limits(void)
{
    struct rlimit files, processes;
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NPROC, &processes);
    g_autofree char *text = g_strdup_printf(
        "%" G_GUINT64_FORMAT " open files, %" G_GUINT64_FORMAT " processes, %ld processors",
        (guint64)files.rlim_cur, (guint64)processes.rlim_cur, sysconf(_SC_NPROCESSORS_ONLN));
    say("limits", files.rlim_cur >= 256, text, "ulimit -n 1024 or more is advised");
}

int command_doctor(int argc, char **argv)
{
    const struct usage usage = {
        .name = "doctor",
        .arguments = "",
        .summary = "Show what this machine offers, and what vial does without the rest.",
    };
    struct report report = { 0 };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    check_kernel();
    check_sandbox(&report);
    check_store(&report);
    check_fuse();
    check_passthrough();
    check_limits();
    return finish_output(report.lacking ? EXIT_NO : EXIT_OK);
}
