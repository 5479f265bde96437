// SPDX-License-Identifier: Apache-2.0
/* The executor's life: where runs have their directories, what the machine grants, old leftovers.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

const char *sandbox_level_name(enum sandbox_level level)
{
    return level == SANDBOX_NAMESPACES ? "namespaces" : "directory";
}

/* --- where ------------------------------------------------------------------------------------ */

/* Programs that the command builds must be executable there. */
static bool is_suitable(const char *path)
{
    struct statvfs status;
    return statvfs(path, &status) == 0 && (status.f_flag & (ST_NOEXEC | ST_RDONLY)) == 0 &&
           access(path, W_OK | X_OK) == 0;
}

static char *choose_scratch(const char *given, GError **error)
{
    const char *candidates[] = { g_getenv("TMPDIR"), "/tmp", "/var/tmp" };
    if (given != NULL)
        return g_canonicalize_filename(given, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(candidates); i++)
        if (candidates[i] != NULL && *candidates[i] != '\0' && is_suitable(candidates[i]))
            return g_canonicalize_filename(candidates[i], NULL);
    fault_set(error, FAULT_SANDBOX,
              "neither $TMPDIR nor /tmp nor /var/tmp can be written and executed from; "
              "set TMPDIR to a directory that can");
    return NULL;
}

static char *base_name(const char *scratch)
{
    return g_strdup_printf("%s/vial-%u", scratch, (unsigned)geteuid());
}

/* Open it only if it is a directory of ours that nobody else may enter: /tmp belongs to all. */
static int open_base(const char *path)
{
    autofd int base = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (base < 0 || fstat(base, &status) < 0 || status.st_uid != geteuid() ||
        (status.st_mode & 077) != 0)
        return -1;
    return fd_steal(&base);
}

static bool make_base(struct sandbox *sandbox, const char *scratch, GError **error)
{
    sandbox->base_path = base_name(scratch);
    if (mkdir(sandbox->base_path, 0700) < 0 && errno != EEXIST)
        return fault_errno(error, errno, "cannot make the directory %s", sandbox->base_path);
    sandbox->base = open_base(sandbox->base_path);
    if (sandbox->base < 0) { /* somebody else's */
        g_autofree char *template = g_strconcat(sandbox->base_path, ".XXXXXX", NULL);
        if (g_mkdtemp(template) == NULL)
            return fault_errno(error, errno, "cannot make a directory %s", template);
        g_free(sandbox->base_path);
        sandbox->base_path = g_steal_pointer(&template);
        sandbox->temporary = true;
        sandbox->base = open_base(sandbox->base_path);
    }
    if (sandbox->base >= 0 && sandbox->base < 3) /* see sandbox-plan.c */
        sandbox->base = fcntl(sandbox->base, F_DUPFD_CLOEXEC, 3);
    return sandbox->base >= 0 ||
           fault_errno(error, errno, "cannot open the directory %s", sandbox->base_path);
}

/* --- who -------------------------------------------------------------------------------------- */

/* Does our own user namespace know `id`? In a container it may not. */
static bool is_mapped(const char *map, guint64 id)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents(map, &text, NULL, NULL))
        return false;
    for (char *at = text; *at != '\0';) {
        guint64 from = g_ascii_strtoull(at, &at, 10);
        g_ascii_strtoull(at, &at, 10);
        guint64 count = g_ascii_strtoull(at, &at, 10);
        if (id >= from && id - from < count)
            return true;
        at += strspn(at, "\n");
        if (count == 0)
            break;
    }
    return false;
}

static bool can_separate(void)
{
    return geteuid() == 0 && is_mapped("/proc/self/uid_map", SANDBOX_HOST_ID) &&
           is_mapped("/proc/self/gid_map", SANDBOX_HOST_ID);
}

/* --- life ------------------------------------------------------------------------------------- */

static void sandbox_free(struct executor *executor)
{
    struct sandbox *sandbox = (struct sandbox *)executor;
    if (sandbox->temporary)
        rmdir(sandbox->base_path); /* or the last run in it does */
    fd_close(&sandbox->base);
    g_free(sandbox->base_path);
    g_free(sandbox);
}

struct executor *sandbox_new(const struct sandbox_options *options, GError **error)
{
    static const struct executor_operations operations = { "local", sandbox_run, sandbox_free };
    g_autofree char *scratch = choose_scratch(options->scratch, error);
    if (scratch == NULL)
        return NULL;
    struct sandbox *sandbox = g_new0(struct sandbox, 1);
    sandbox->executor.operations = &operations;
    sandbox->level = options->level;
    sandbox->vary = options->vary;
    sandbox->base = -1;
    sandbox->view = options->view;
    sandbox->serve = options->serve && options->view == NULL && options->vary == 0 &&
                     options->level == SANDBOX_NAMESPACES;
    sandbox->inherit = options->inherit;
    sandbox->recorder = sandbox->serve ? options->recorder : NULL;
    sandbox->separate =
        options->view == NULL && options->level == SANDBOX_NAMESPACES && can_separate();
    if (make_base(sandbox, scratch, error))
        return &sandbox->executor;
    sandbox_free(&sandbox->executor);
    return NULL;
}

/* --- what the machine grants -------------------------------------------------------------------
 */

static bool probe_namespaces(GError **error)
{
    struct sandbox_options options = { .level = SANDBOX_NAMESPACES };
    struct executor *executor = sandbox_new(&options, error);
    if (executor == NULL)
        return false;
    g_autoptr(action) action = action_new();
    g_strfreev(action->argv);
    action->argv = g_strsplit("true", " ", -1); /* to be planned, never started */
    struct launch launch;
    bool ok = sandbox_launch((const struct sandbox *)executor, action, false, &launch, error);
    if (ok) {
        sandbox_order(&launch, ORDER_PROBE);
        if (!sandbox_await_report(launch.plan))
            ok = fault_set(error, FAULT_SANDBOX, "the sandbox's own processes were killed");
        else if (launch.plan->report->kind != REPORT_ENDED)
            ok = sandbox_fault(launch.plan, error);
        sandbox_land(&launch);
    }
    executor_free(executor);
    return ok;
}

/* The settings by which distributions refuse namespaces to ordinary users; or NULL. */
static const char *setting_to_blame(void)
{
    static const struct {
        const char *path, *refusal, *name;
    } settings[] = {
        { "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces is 0" },
        { "/proc/sys/kernel/unprivileged_userns_clone", "0\n",
          "kernel.unprivileged_userns_clone is 0" },
        { "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n",
          "kernel.apparmor_restrict_unprivileged_userns is 1" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autofree char *value = NULL;
        if (g_file_get_contents(settings[i].path, &value, NULL, NULL) &&
            strcmp(value, settings[i].refusal) == 0)
            return settings[i].name;
    }
    return NULL;
}

enum sandbox_level sandbox_probe(char **reason)
{
    static gsize probed;
    static char *refusal;
    if (g_once_init_enter(&probed)) {
        g_autoptr(GError) error = NULL;
        if (!probe_namespaces(&error)) {
            const char *setting = setting_to_blame();
            refusal = setting == NULL ? g_strdup(error->message)
                                      : g_strdup_printf("%s (%s)", error->message, setting);
        }
        g_once_init_leave(&probed, 1);
    }
    if (reason != NULL)
        *reason = g_strdup(refusal);
    return refusal == NULL ? SANDBOX_NAMESPACES : SANDBOX_DIRECTORY;
}

/* --- leftovers -------------------------------------------------------------------------------- */

/*
 * Those whose lock is free have neither supervisor nor init. The exclusive lock keeps new ones from
 * appearing between their making and their locking; kept ones have another name.
 */
void sandbox_sweep(const char *given)
{
    g_autofree char *scratch = choose_scratch(given, NULL);
    g_autofree char *path = scratch == NULL ? NULL : base_name(scratch);
    int base = path == NULL ? -1 : open_base(path);
    DIR *stream = base < 0 ? NULL : fdopendir(base);
    if (stream == NULL)
        return fd_close(&base);
    flock(base, LOCK_EX);
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        if (!g_str_has_prefix(entry->d_name, "run-"))
            continue;
        autofd int leftover =
            openat(base, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (leftover >= 0 && flock(leftover, LOCK_EX | LOCK_NB) == 0)
            fd_remove_tree(base, entry->d_name, NULL);
    }
    closedir(stream);
}
