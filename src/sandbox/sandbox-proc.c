// SPDX-License-Identifier: Apache-2.0
/*
 * What of /proc tells how busy the machine is, and so differs from run to run: an observed command
 * sees constants in their place. They say what the platform's fingerprint vouches for (processors,
 * memory in GiB) and nothing else.
 */
#include "sandbox/sandbox-internal.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Nothing is known of them; a path that the host does not have is not made. */
static const struct {
    const char *path, *text;
} constants[] = {
    { "/proc/uptime", "86400.00 86400.00\n" },
    { "/proc/loadavg", "0.00 0.00 0.00 1/1 1\n" },
    { "/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" },
    { "/proc/partitions", "major minor  #blocks  name\n\n" },
    { "/proc/sys/kernel/random/boot_id", "76696c00-7669-6c00-7669-6c0076696c00\n" },
    { "/proc/cmdline", "vial\n" },
    { "/proc/vmstat", "" },
    { "/proc/diskstats", "" },
    { "/proc/interrupts", "" },
    { "/proc/softirqs", "" },
    { "/proc/zoneinfo", "" },
    { "/proc/buddyinfo", "" },
    { "/proc/pagetypeinfo", "" },
    { "/proc/slabinfo", "" },
    { "/proc/schedstat", "" },
    { "/proc/timer_list", "" },
    { "/proc/locks", "" },
    { "/proc/modules", "" },
    { "/proc/keys", "" },
    { "/proc/key-users", "" },
    { "/proc/sys/fs/file-nr", "0\t0\t1048576\n" },
    { "/proc/sys/fs/inode-nr", "0\t0\n" },
    { "/proc/sys/fs/inode-state", "0\t0\t0\t0\t0\t0\t0\n" },
    { "/proc/sys/fs/dentry-state", "0\t0\t0\t0\t0\t0\n" },
};

/* The clock of a processor goes up and down. */
char *sandbox_processors(void)
{
    g_autofree char *text = NULL;
    GString *out = g_string_new(NULL);
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        return g_string_free(out, FALSE);
    for (const char *line = text, *next; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (g_str_has_prefix(line, "cpu MHz"))
            g_string_append(out, "cpu MHz\t\t: 1000.000\n");
        else
            g_string_append_len(out, line, next - line);
    }
    return g_string_free(out, FALSE);
}

static char *memory(void)
{
    struct sysinfo info = { 0 };
    sysinfo(&info);
    guint64 bytes = (guint64)info.totalram * info.mem_unit;
    guint64 size = (bytes + (1u << 29)) >> 30 << 20; /* whole GiB, in KiB */
    GString *out = g_string_new(NULL);
    static const char *const all[] = { "MemTotal:", "MemFree:", "MemAvailable:" };
    static const char *const none[] = { "Buffers:", "Cached:", "SwapCached:", "SwapTotal:",
                                        "SwapFree:" };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        g_string_append_printf(out, "%-15s%9" G_GUINT64_FORMAT " kB\n", all[i], size);
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
        g_string_append_printf(out, "%-15s%9d kB\n", none[i], 0);
    return g_string_free(out, FALSE);
}

static char *statistics(void)
{
    GString *out = g_string_new("cpu  0 0 0 0 0 0 0 0 0 0\n");
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < count; i++)
        g_string_append_printf(out, "cpu%ld 0 0 0 0 0 0 0 0 0 0\n", i);
    g_string_append(out, "intr 0\nctxt 0\nbtime 946684800\nprocesses 1\nprocs_running 1\n"
                         "procs_blocked 0\n");
    return g_string_free(out, FALSE);
}

void sandbox_proc_each(sandbox_proc_visit visit, void *user)
{
    for (size_t i = 0; i < G_N_ELEMENTS(constants); i++)
        visit(constants[i].path, g_strdup(constants[i].text), user);
    visit("/proc/cpuinfo", sandbox_processors(), user);
    visit("/proc/meminfo", memory(), user);
    visit("/proc/stat", statistics(), user);
}
