// SPDX-License-Identifier: Apache-2.0
/* Collects the properties of the machine that are part of every action's key. */
#include "action/platform.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOCAL "/usr/local"
#define DEFAULT_PATH "/usr/bin:/bin" /* where an action without PATH looks */

const struct platform_text platform_texts[] = {
    { "/etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\n"
      "vial:x:1000:1000:vial:/home/vial:/bin/sh\n"
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
      false },
    { "/etc/group", "root:x:0:\nvial:x:1000:\nnogroup:x:65534:\n", false },
    { "/etc/hostname", "vial\n", false },
    { "/etc/machine-id", "76696c0076696c0076696c0076696c00\n", false },
    { "/etc/hosts", "127.0.0.1 localhost vial\n::1 localhost\n", true },
    { "/etc/resolv.conf", "", true },
    { NULL, NULL, false },
};

static bool leads_to_local(const char *path)
{
    return g_str_has_prefix(path, LOCAL "/") || strcmp(path, LOCAL) == 0;
}

bool platform_shows_local(const struct action *action)
{
    if (action->argv[0] != NULL && leads_to_local(action->argv[0]))
        return true;
    const char *path = action_variable(action, "PATH");
    g_auto(GStrv) parts = g_strsplit(path == NULL ? "" : path, ":", -1);
    for (char **part = parts; *part != NULL; part++)
        if (leads_to_local(*part))
            return true;
    return false;
}

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

char *platform_program(const struct action *action)
{
    const char *name = action->argv[0];
    if (*name == '/')
        return is_file(name) ? g_strdup(name) : NULL;
    if (*name == '\0' || strchr(name, '/') != NULL)
        return NULL;
    const char *path = action_variable(action, "PATH");
    g_auto(GStrv) parts = g_strsplit(path == NULL ? DEFAULT_PATH : path, ":", -1);
    for (char **part = parts; *part != NULL; part++) {
        g_autofree char *whole = g_strconcat(*part, "/", name, NULL);
        if (**part == '/' && is_file(whole) && access(whole, X_OK) == 0)
            return g_steal_pointer(&whole);
    }
    return NULL;
}

static void add(GPtrArray *list, const char *name, const char *value)
{
    g_ptr_array_add(list, g_strconcat(name, "=", value, NULL));
}

static void add_digest(GPtrArray *list, const char *name, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    add(list, name, digest_print(digest, text));
}

/* Model and feature flags of the first processor: what -march=native would look at. */
static void add_processor(GPtrArray *list)
{
    autofd int file = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    char text[8192];
    gssize size = file < 0 ? 0 : fd_read_full(file, text, sizeof text - 1, "/proc/cpuinfo", NULL);
    text[MAX(size, 0)] = '\0';
    struct digest_context context;
    struct digest digest;
    digest_init(&context);
    for (char *line = text, *next; *line != '\0' && *line != '\n'; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (g_str_has_prefix(line, "model name") || g_str_has_prefix(line, "flags") ||
            g_str_has_prefix(line, "Features") || g_str_has_prefix(line, "CPU part"))
            digest_update(&context, line, (size_t)(next - line));
    }
    digest_finish(&context, &digest);
    add_digest(list, "processor", &digest);
    cpu_set_t *set = CPU_ALLOC(65536);
    size_t set_size = CPU_ALLOC_SIZE(65536);
    g_autofree char *count = NULL;
    if (sched_getaffinity(0, set_size, set) == 0)
        count = g_strdup_printf("%d", CPU_COUNT_S(set_size, set));
    CPU_FREE(set);
    add(list, "processors", count == NULL ? "unknown" : count);
}

/* In GiB, rounded: the exact figure differs from boot to boot of one machine. */
static void add_memory(GPtrArray *list)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return;
    guint64 bytes = (guint64)info.totalram * info.mem_unit;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "GiB", (bytes + (1u << 29)) >> 30);
    add(list, "memory", text);
}

static bool add_file(struct stat_cache *cache, GPtrArray *list, const char *name,
                     const char *const *candidates, GError **error)
{
    for (; *candidates != NULL; candidates++) {
        struct digest digest;
        if (access(*candidates, R_OK) < 0)
            continue;
        if (!store_digest_file(cache, *candidates, &digest, error))
            return false;
        add_digest(list, name, &digest);
        return true;
    }
    add(list, name, "none");
    return true;
}

/* Everything readable below `path`; of what a tree cannot hold or nobody can read, the names. */
static bool add_directory(struct stat_cache *cache, GPtrArray *list, const char *name,
                          const char *path, const struct glob *select, GError **error)
{
    autofd int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        add(list, name, "none");
        return true;
    }
    struct capture_request request = {
        .directory = directory,
        .name = path,
        .select = select,
        .cache = cache,
        .outputs = true,
    };
    struct digest digest;
    if (!store_digest_directory(&request, &digest, error))
        return false;
    add_digest(list, name, &digest);
    return true;
}

/*
 * Who vouches for /usr: the package database, or where none is known, /usr itself, at one stat per
 * file and a first time that reads all of it.
 */
static bool add_packages(struct stat_cache *cache, GPtrArray *list, GError **error)
{
    static const char *const databases[] = { PLATFORM_PACKAGES,
                                             "/var/lib/dpkg/status",
                                             "/lib/apk/db/installed",
                                             "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                                             "/var/lib/rpm/rpmdb.sqlite",
                                             "/var/lib/rpm/Packages",
                                             NULL };
    for (const char *const *database = databases; *database != NULL; database++)
        if (access(*database, R_OK) == 0)
            return add_file(cache, list, "packages", databases, error);
    g_autoptr(glob) select = glob_new();
    return glob_add_path(select, "local", true, error) &&
           add_directory(cache, list, "usr", "/usr", select, error);
}

/*
 * Less files that change by themselves, or that the fixed user of an action cannot read. In a view
 * the command has the caller's rights, and root reads them all.
 */
static struct glob *etc_selection(GPtrArray *list, bool sealed, bool observed)
{
    static const char *const excluded[] = {
        "!/shadow*",    "!/gshadow*",       "!/.pwd.lock",    "!/sudoers",
        "!/sudoers.d/", "!/ssh/ssh_host_*", "!/ssl/private/", "!/cups/",
        "!/adjtime",    "!/passwd-",        "!/group-",
    };
    g_autoptr(GString) texts = g_string_new(NULL);
    struct glob *select = glob_new();
    for (size_t i = 0; !observed && i < G_N_ELEMENTS(excluded); i++) {
        bool ok = glob_add(select, "", excluded[i], NULL);
        g_assert(ok);
    }
    for (const struct platform_text *text = platform_texts; sealed && text->path != NULL; text++) {
        struct stat status;
        bool ok = glob_add_path(select, text->path + strlen("/etc/"), true, NULL);
        g_assert(ok);
        if (lstat(text->path, &status) == 0 && S_ISREG(status.st_mode))
            g_string_append_printf(texts, "%s%s", texts->len == 0 ? "" : ",", text->path);
    }
    add(list, "etc-texts", texts->str);
    return select;
}

/* What the command is shown without being asked what it sees of it. */
static bool add_system(struct stat_cache *cache, GPtrArray *list, const struct action *action,
                       const char *isolation, GError **error)
{
    static const char *const releases[] = { "/etc/os-release", "/usr/lib/os-release", NULL };
    bool observed = strcmp(isolation, PLATFORM_VIEW) == 0; /* /usr/local is a fact there */
    g_autoptr(glob) select = etc_selection(list, strcmp(isolation, "namespaces") == 0, observed);
    if (!add_file(cache, list, "os-release", releases, error) ||
        !add_packages(cache, list, error) ||
        !add_directory(cache, list, "etc", "/etc", select, error))
        return false;
    if (!observed && platform_shows_local(action) &&
        !add_directory(cache, list, "usr-local", LOCAL, NULL, error))
        return false;
    g_autofree char *program = platform_program(action);
    return program == NULL ||
           add_file(cache, list, "program", (const char *const[]){ program, NULL }, error);
}

char **platform_fingerprint(struct stat_cache *cache, const struct action *action,
                            const char *isolation, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    struct utsname system;
    uname(&system);
    add(list, "architecture", system.machine);
    add(list, "kernel", system.release);
    add(list, "isolation", isolation);
    add_processor(list);
    add_memory(list);
    if (strcmp(isolation, PLATFORM_OBSERVED_SYSTEM) != 0 &&
        !add_system(cache, list, action, isolation, error))
        return NULL;
    g_ptr_array_sort(list, action_compare_assignments);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&list), FALSE);
}
