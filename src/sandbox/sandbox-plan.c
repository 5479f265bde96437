// SPDX-License-Identifier: Apache-2.0
/* Everything the children of a run need, decided and allocated before the first of them exists. */
#include "sandbox/sandbox-internal.h"

#include "action/platform.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/bin:/bin"

/* --- mounts ----------------------------------------------------------------------------------- */

static const char *own(struct plan *plan, char *string)
{
    g_ptr_array_add(plan->strings, string);
    return string;
}

static void add(struct plan *plan, enum mount_kind kind, const char *target, const char *source)
{
    struct mount_step step = { .kind = kind, .target = target, .source = source };
    g_array_append_val(plan->mounts, step);
}

static void add_new(struct plan *plan, const char *type, const char *target, unsigned long flags,
                    const char *options)
{
    struct mount_step step = {
        .kind = MOUNT_NEW, .target = target, .source = type, .options = options, .flags = flags
    };
    g_array_append_val(plan->mounts, step);
}

/* /bin and the like: links on a merged-/usr system, directories elsewhere. As the host has it. */
static void add_root_entry(struct plan *plan, const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return;
    g_autofree char *target = S_ISLNK(status.st_mode) ? g_file_read_link(path, NULL) : NULL;
    if (target != NULL)
        add(plan, MOUNT_LINK, path + 1, own(plan, g_steal_pointer(&target)));
    else if (S_ISDIR(status.st_mode))
        add(plan, MOUNT_HOST, path + 1, path);
}

static bool is_kind(const char *path, mode_t kind)
{
    struct stat status;
    return lstat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

static void add_text(struct plan *plan, const char *path, const char *place, const char *text)
{
    struct mount_step step = {
        .kind = MOUNT_TEXT, .target = path + 1, .source = text, .options = place
    };
    if (is_kind(path, S_IFREG))
        g_array_append_val(plan->mounts, step);
}

/*
 * The same user and host names on every machine; tar, git and Java put them into what they make.
 * The files lie in the new root's own /tmp, out of sight once the run's is mounted there.
 */
static void add_names(struct plan *plan)
{
    add(plan, MOUNT_MKDIR, "tmp", NULL);
    for (const struct platform_text *text = platform_texts; text->path != NULL; text++) {
        const char *place = own(plan, g_strdup_printf("tmp/%s", strrchr(text->path, '/') + 1));
        if (!plan->network || !text->names_hosts)
            add_text(plan, text->path, place, text->text);
    }
}

/* The package database is not visible inside; vial inside vial takes the word of the outer one. */
static void add_packages(struct plan *plan, const struct action *action)
{
    for (char **property = action->platform; *property != NULL; property++) {
        if (!g_str_has_prefix(*property, "packages="))
            continue;
        add(plan, MOUNT_MKDIR, "run", NULL);
        add(plan, MOUNT_MKDIR, "run/vial", NULL);
        add(plan, MOUNT_FILE, PLATFORM_PACKAGES + 1, own(plan, g_strdup(*property)));
    }
}

/* systemd-resolved and others keep resolv.conf in /run, which is not visible otherwise. */
static void add_resolver(struct plan *plan)
{
    char *path = realpath("/etc/resolv.conf", NULL);
    if (path == NULL)
        return;
    own(plan, path);
    if (g_str_has_prefix(path, "/etc/") || g_str_has_prefix(path, "/usr/"))
        return;
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        add(plan, MOUNT_MKDIR, own(plan, g_strndup(path + 1, (gsize)(slash - path - 1))), NULL);
    add(plan, MOUNT_HOST_FILE, path + 1, path);
}

static void add_devices(struct plan *plan)
{
    static const char *const nodes[] = { "/dev/null",   "/dev/zero",    "/dev/full",
                                         "/dev/random", "/dev/urandom", "/dev/tty" };
    add_new(plan, "tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "mode=0755");
    for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++)
        add(plan, MOUNT_HOST_FILE, nodes[i] + 1, nodes[i]);
    if (plan->view != NULL && is_kind("/dev/fuse", S_IFCHR)) /* for vial in it */
        add(plan, MOUNT_HOST_FILE, "dev/fuse", "/dev/fuse");
    add(plan, MOUNT_LINK, "dev/fd", "/proc/self/fd");
    add(plan, MOUNT_LINK, "dev/stdin", "/proc/self/fd/0");
    add(plan, MOUNT_LINK, "dev/stdout", "/proc/self/fd/1");
    add(plan, MOUNT_LINK, "dev/stderr", "/proc/self/fd/2");
    add(plan, MOUNT_LINK, "dev/ptmx", "pts/ptmx");
    add_new(plan, "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
            "newinstance,ptmxmode=0666,mode=0620");
    add_new(plan, "tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    add(plan, MOUNT_SEAL, "dev", NULL);
}

static void add_mounts(struct plan *plan, const struct action *action)
{
    static const char *const system[] = { "/usr", "/etc",   "/bin",   "/sbin",
                                          "/lib", "/lib32", "/lib64", "/libx32" };
    for (size_t i = 0; i < G_N_ELEMENTS(system); i++)
        add_root_entry(plan, system[i]);
    if (!platform_shows_local(action) && is_kind("/usr/local", S_IFDIR))
        add_new(plan, "tmpfs", "usr/local", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0755");
    add_names(plan);
    add_packages(plan, action);
    if (plan->network)
        add_resolver(plan);
    add(plan, plan->serve ? MOUNT_VIEW : MOUNT_OWN, SANDBOX_ROOT + 1, "work");
    add(plan, MOUNT_MKDIR, "home", NULL);
    add(plan, MOUNT_OWN, SANDBOX_HOME + 1, "home");
    add(plan, MOUNT_OWN, "tmp", "tmp");
    add_new(plan, "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    add_devices(plan);
    add(plan, MOUNT_SEAL, ".", NULL);
}

/* A directory of the host or of our own over the view's, but around the workspace. */
static void add_around(struct plan *plan, enum mount_kind kind, const char *path,
                       const char *source, const char *inner)
{
    struct mount_step step = {
        .kind = MOUNT_AROUND, .target = path + 1, .source = source, .options = inner + 1
    };
    size_t length = strlen(path);
    if (strncmp(inner, path, length) == 0 && inner[length] == '/')
        g_array_append_val(plan->mounts, step);
    else
        add(plan, kind, path + 1, source);
}

static void add_proc_text(const char *path, char *text, void *user)
{
    struct plan *plan = user;
    const char *place = own(plan, g_strdup_printf("dev/%u", plan->mounts->len));
    add_text(plan, path, place, own(plan, text));
}

/* The texts that cover files of /proc lie on a tmpfs that the one of add_devices() hides. */
static void add_proc(struct plan *plan)
{
    add_new(plan, "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    add_new(plan, "tmpfs", "dev", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755");
    sandbox_proc_each(add_proc_text, plan);
}

static const char *const system_roots[] = { "/usr", "/etc",   "/bin",   "/sbin",
                                            "/lib", "/lib32", "/lib64", "/libx32" };

/* A directory of the system, natively or out of the view of it. */
static void add_system_root(struct plan *plan, const char *path, const char *inner)
{
    if (!is_kind(path, S_IFDIR))
        return;
    if (plan->view->observe_system)
        add_around(plan, MOUNT_OWN, path, own(plan, g_strconcat(SYSTEM_PLACE, path, NULL)), inner);
    else
        add_around(plan, MOUNT_HOST, path, path, inner);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool is_bound(const char *path)
{
    for (size_t i = 0; i < G_N_ELEMENTS(system_roots); i++)
        if ((is_below(path, system_roots[i]) || strcmp(path, system_roots[i]) == 0) &&
            is_kind(system_roots[i], S_IFDIR))
            return true;
    return false;
}

static bool is_program_directory(const struct plan *plan, const char *path)
{
    return is_bound(path) && strcmp(path, "/usr") != 0 && strcmp(path, "/usr/local") != 0 &&
           !is_below(path, "/usr/local") && !is_below(plan->view->workspace, path) &&
           is_kind(path, S_IFDIR);
}

/* Directories of PATH that would be bound natively: what is executed out of them is to be seen. */
static void add_programs(struct plan *plan, const struct action *action)
{
    const char *path = action_variable(action, "PATH");
    g_auto(GStrv) parts = g_strsplit(path == NULL ? DEFAULT_PATH : path, ":", -1);
    g_autoptr(GHashTable) served = g_hash_table_new(g_str_hash, g_str_equal);
    for (char **part = parts; *part != NULL; part++) {
        char *real = **part == '/' ? realpath(*part, NULL) : NULL;
        if (real == NULL)
            continue;
        own(plan, real);
        if (is_program_directory(plan, real) && g_hash_table_add(served, real))
            add(plan, MOUNT_OWN, real + 1, own(plan, g_strconcat(SYSTEM_PLACE, real, NULL)));
    }
}

static void add_trap(struct plan *plan)
{
    const struct sandbox_trap *trap = plan->view->trap;
    if (trap == NULL)
        return;
    add(plan, MOUNT_MKDIR, "run/vial", NULL);
    const struct mount_step program = {
        .kind = MOUNT_PROGRAM,
        .target = trap->program_path + 1,
        .source = trap->program,
        .flags = trap->program_size,
    };
    g_array_append_val(plan->mounts, program);
    add(plan, MOUNT_LISTENER, trap->socket_path + 1, NULL);
    plan->trapped = true;
}

/*
 * The system natively, since serving it costs the most and its fingerprint vouches for it, or
 * served and on record; what is private to the run; and everything else is the view's.
 */
/* Where it lies; one in a workspace that is shown elsewhere lies in that. */
static void add_shared(struct plan *plan, const char *directory)
{
    const struct sandbox_view *view = plan->view;
    g_autofree char *inside = view->real == NULL ? NULL : path_below(view->real, "/", directory);
    char *target =
        inside == NULL ? g_strdup(directory) : g_build_filename(view->workspace, inside, NULL);
    own(plan, target);
    for (char *slash = strchr(target + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        add(plan, MOUNT_MKDIR, own(plan, g_strndup(target + 1, (gsize)(slash - target - 1))), NULL);
    add(plan, MOUNT_SHARED, target + 1, own(plan, g_strdup(directory)));
}

static void add_view_mounts(struct plan *plan, const struct action *action)
{
    const char *workspace = plan->view->workspace;
    bool in_usr = is_below(workspace, "/usr") && !is_below(workspace, "/usr/local");
    add(plan, MOUNT_SYSTEM, NULL, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(system_roots); i++)
        if (strcmp(system_roots[i], "/usr") != 0)
            add_system_root(plan, system_roots[i], workspace);
        else if (!in_usr) /* else all of it is served by the view of everything */
            add_system_root(plan, "/usr", is_kind("/usr/local", S_IFDIR) ? "/usr/local" : "/");
    if (!plan->view->observe_system && !in_usr)
        add_programs(plan, action);
    if (is_kind("/sys", S_IFDIR))
        add_new(plan, "tmpfs", "sys", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0755");
    if (is_kind("/run", S_IFDIR) && !g_str_has_prefix(workspace, "/run/")) {
        add_new(plan, "tmpfs", "run", MS_NOSUID | MS_NODEV, "mode=0755");
        add_packages(plan, action);
        add_trap(plan);
        if (plan->network)
            add_resolver(plan);
    }
    add_around(plan, MOUNT_OWN, "/tmp", "tmp", workspace);
    for (char *const *directory = plan->view->shared; directory != NULL && *directory; directory++)
        add_shared(plan, *directory);
    add_proc(plan);
    add_devices(plan);
}

static bool is_mount(const struct mount_step *step)
{
    return step->kind == MOUNT_HOST || step->kind == MOUNT_AROUND ||
           step->kind == MOUNT_HOST_FILE || step->kind == MOUNT_OWN || step->kind == MOUNT_SHARED ||
           step->kind == MOUNT_NEW || step->kind == MOUNT_TEXT;
}

/* Does it come along with what is bound already? */
static bool is_along(const GPtrArray *binds, const char *path)
{
    for (guint i = 0; i < binds->len; i += 2) {
        const char *bound = binds->pdata[i], *inner = binds->pdata[i + 1];
        if ((strcmp(path, bound) == 0 || is_below(path, bound)) &&
            (*inner == '\0' || !is_below(path, inner)))
            return true;
    }
    return false;
}

char **sandbox_plan_binds(const struct plan *plan)
{
    GPtrArray *binds = g_ptr_array_new();
    for (guint i = 0; i < plan->mounts->len; i++) {
        const struct mount_step *step = &g_array_index(plan->mounts, struct mount_step, i);
        g_autofree char *path = is_mount(step) ? g_strconcat("/", step->target, NULL) : NULL;
        if (path == NULL || is_along(binds, path))
            continue;
        g_ptr_array_add(binds, g_steal_pointer(&path));
        g_ptr_array_add(binds, step->kind == MOUNT_AROUND ? g_strconcat("/", step->options, NULL)
                                                          : g_strdup(""));
    }
    g_ptr_array_add(binds, NULL);
    return (char **)g_ptr_array_free(binds, FALSE);
}

/* --- the command ------------------------------------------------------------------------------ */

/* What execvp() would try, in its order; an empty element of PATH is the working directory. */
static char **make_candidates(const struct action *action)
{
    const char *name = action->argv[0];
    GPtrArray *candidates = g_ptr_array_new();
    if (strchr(name, '/') != NULL) {
        g_ptr_array_add(candidates, g_strdup(name));
    } else if (*name != '\0') {
        const char *path = action_variable(action, "PATH");
        g_auto(GStrv) parts = g_strsplit(path == NULL ? DEFAULT_PATH : path, ":", -1);
        for (char **part = parts; *part != NULL; part++)
            g_ptr_array_add(candidates, g_strconcat(**part == '\0' ? "." : *part, "/", name, NULL));
    }
    g_ptr_array_add(candidates, NULL);
    return (char **)g_ptr_array_free(candidates, FALSE);
}

static char **make_shell_argv(const struct action *action)
{
    guint count = g_strv_length(action->argv);
    char **arguments = g_new(char *, count + 2);
    arguments[0] = (char *)"/bin/sh";
    memcpy(arguments + 1, action->argv, (count + 1) * sizeof *arguments);
    return arguments; /* [1] gives way to the path of the script */
}

/* Without namespaces there are no fixed paths, so the variables that name them are redirected. */
static char **make_environment(const struct plan *plan, const struct action *action)
{
    char **made = g_strdupv(action->environment);
    if (plan->level == SANDBOX_NAMESPACES)
        return made;
    g_autofree char *home = g_strconcat(plan->path, "/home", NULL);
    g_autofree char *temporary = g_strconcat(plan->path, "/tmp", NULL);
    made = g_environ_setenv(made, "HOME", home, TRUE);
    made = g_environ_setenv(made, "TMPDIR", temporary, TRUE);
    if (g_environ_getenv(made, "PWD") != NULL)
        made = g_environ_setenv(made, "PWD", plan->directory, TRUE);
    return made;
}

static void plan_command(struct plan *plan, const struct action *action)
{
    g_autofree char *root = plan->view != NULL ? g_strdup(plan->view->workspace)
                            : plan->level == SANDBOX_NAMESPACES
                                ? g_strdup(SANDBOX_ROOT)
                                : g_strconcat(plan->path, "/work", NULL);
    plan->directory = *action->directory == '\0' ? g_steal_pointer(&root)
                                                 : g_strconcat(root, "/", action->directory, NULL);
    plan->argv = action->argv;
    plan->environment = make_environment(plan, action);
    plan->candidates = make_candidates(action);
    plan->shell_argv = make_shell_argv(action);
    plan->input = action->stdin_blob.size == 0 ? NULL : "input";
}

/* --- descriptors ------------------------------------------------------------------------------ */

/*
 * Out of the way of 0 to 2, which the supervisor and the command get anew: vial may have been
 * started with some of them closed.
 */
static bool lift(int pair[2], GError **error)
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] > 2)
            continue;
        int lifted = fcntl(pair[i], F_DUPFD_CLOEXEC, 3);
        if (lifted < 0)
            return fault_errno(error, errno, "cannot make a descriptor for the sandbox");
        close(pair[i]);
        pair[i] = lifted;
    }
    return true;
}

static bool make_socket(int pair[2], GError **error)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_errno(error, errno, "cannot make a socket pair for the sandbox");
    return lift(pair, error);
}

/* A pipe belongs to who may open it anew by /dev/stdout: the command. */
static bool make_pipe(const struct plan *plan, int pair[2], GError **error)
{
    if (pipe2(pair, O_CLOEXEC) < 0)
        return fault_errno(error, errno, "cannot make a pipe for the sandbox");
    if (plan->separate && fchown(pair[0], SANDBOX_HOST_ID, SANDBOX_HOST_ID) < 0)
        return fault_errno(error, errno, "cannot give a pipe to the command");
    return lift(pair, error);
}

/* The pipes have no writer then, and end at once. */
static bool inherit(struct plan *plan, GError **error)
{
    int *places[] = { &plan->inherited, &plan->output[1], &plan->errors[1] };
    for (int i = 0; i < 3; i++) {
        fd_close(places[i]);
        *places[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
        if (*places[i] < 0)
            return fault_errno(error, errno, "cannot pass on descriptor %d", i);
    }
    return true;
}

static void make_name(struct plan *plan, const struct sandbox *sandbox, bool keep)
{
    guint64 random[2];
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        random[0] = (guint64)g_random_int() << 32 | g_random_int();
        random[1] = (guint64)getpid();
    }
    plan->name = g_strdup_printf("%s-%016" G_GINT64_MODIFIER "x%08" G_GINT64_MODIFIER "x",
                                 keep ? "kept" : "run", random[0], random[1] & 0xffffffff);
    plan->path = g_strconcat(sandbox->base_path, "/", plan->name, NULL);
}

/* Asked of the kernel, since umask() would change it for the threads meanwhile. */
mode_t sandbox_own_mask(void)
{
    g_autofree char *status = NULL;
    const char *line = g_file_get_contents("/proc/self/status", &status, NULL, NULL)
                           ? strstr(status, "\nUmask:")
                           : NULL;
    return line == NULL ? 022 : (mode_t)strtoul(line + strlen("\nUmask:"), NULL, 8);
}

/* A sealed command has one id; an observed one the caller's, and root's has all that there are. */
static char *make_map(const struct plan *plan, unsigned id, const char *ours)
{
    if (plan->view == NULL)
        return g_strdup_printf("%d %u 1\n", SANDBOX_ID, plan->separate ? SANDBOX_HOST_ID : id);
    g_autofree char *text = NULL;
    if (geteuid() != 0 || !g_file_get_contents(ours, &text, NULL, NULL))
        return g_strdup_printf("%u %u 1\n", id, id);
    g_autoptr(GString) map = g_string_new(NULL);
    for (char *at = text; *at != '\0'; at += strspn(at, " \n")) {
        guint64 first = g_ascii_strtoull(at, &at, 10);
        g_ascii_strtoull(at, &at, 10);
        guint64 count = g_ascii_strtoull(at, &at, 10);
        if (count == 0)
            break;
        g_string_append_printf(
            map, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", first,
            first, count);
    }
    return g_string_free(g_steal_pointer(&map), FALSE);
}

struct plan *sandbox_plan_new(const struct sandbox *sandbox, const struct action *action, bool keep,
                              GError **error)
{
    g_autoptr(sandbox_plan) plan = g_new0(struct plan, 1);
    plan->level = sandbox->level;
    plan->base = sandbox->base;
    plan->separate = sandbox->separate;
    plan->view = sandbox->view;
    plan->serve = sandbox->serve;
    plan->mask = plan->view != NULL ? sandbox_own_mask() : 022;
    plan->keep = keep;
    plan->network = action->network;
    plan->vary = sandbox->vary;
    plan->inherited = -1;
    plan->lifeline[0] = plan->lifeline[1] = plan->control[0] = plan->control[1] = -1;
    plan->output[0] = plan->output[1] = plan->errors[0] = plan->errors[1] = -1;
    plan->mounts = g_array_new(FALSE, FALSE, sizeof(struct mount_step));
    plan->strings = g_ptr_array_new_with_free_func(g_free);
    plan->report =
        mmap(NULL, sizeof *plan->report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan->report == MAP_FAILED) {
        plan->report = NULL;
        fault_errno(error, errno, "cannot share memory with the sandbox");
        return NULL;
    }
    make_name(plan, sandbox, keep);
    plan->user_map = make_map(plan, geteuid(), "/proc/self/uid_map");
    plan->group_map = make_map(plan, getegid(), "/proc/self/gid_map");
    if (plan->view != NULL)
        add_view_mounts(plan, action);
    else if (plan->level == SANDBOX_NAMESPACES)
        add_mounts(plan, action);
    plan_command(plan, action);
    if (!make_socket(plan->lifeline, error) || !make_socket(plan->control, error) ||
        !make_pipe(plan, plan->output, error) || !make_pipe(plan, plan->errors, error) ||
        (sandbox->inherit && !inherit(plan, error)))
        return NULL;
    return g_steal_pointer(&plan);
}

void sandbox_plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    fd_close(&plan->inherited);
    for (int i = 0; i < 2; i++) {
        fd_close(&plan->lifeline[i]);
        fd_close(&plan->control[i]);
        fd_close(&plan->output[i]);
        fd_close(&plan->errors[i]);
    }
    if (plan->report != NULL)
        munmap(plan->report, sizeof *plan->report);
    g_array_unref(plan->mounts);
    g_ptr_array_unref(plan->strings);
    g_strfreev(plan->environment);
    g_strfreev(plan->candidates);
    g_free(plan->shell_argv);
    g_free(plan->directory);
    g_free(plan->user_map);
    g_free(plan->group_map);
    g_free(plan->name);
    g_free(plan->path);
    g_free(plan);
}
