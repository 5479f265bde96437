// SPDX-License-Identifier: Apache-2.0
/*
 * From a result to the workspace: file by file, atomically, and never over the user's own change.
 *
 *  1. A path whose captured state already equals the output is not touched: it keeps its time.
 *  2. Before any other path is replaced or removed, what lies there now is compared with what was
 *     captured. If it is neither that nor the output itself, the user changed it: it stays (V6).
 *  3. A path that capture did not cover was changed by the user if its ctime is later than the
 *     beginning of capture; nobody can set a ctime.
 */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "sandbox/sandbox.h"
#include "session/session-internal.h"
#include "store/materialize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct work {
    struct commit *commit;
    GHashTable *extras; /* path -> struct output_extra */
    gint64 now;         /* one time for all, ns: later outputs must not look older */
    bool fresh;         /* times of the run are older than an input: use `now` */
    mode_t mask;        /* the user's umask */
    char *parent;       /* path of the directory last opened */
    int parent_fd;
    GPtrArray *deletions;
    GError *error; /* the first; the rest is tried all the same */
};

static void note_error(struct work *work, GError *error)
{
    if (work->error == NULL)
        work->error = error;
    else
        g_error_free(error);
}

static void conflict(struct work *work, const char *path, const char *reason)
{
    work->commit->kept++;
    event_emit(work->commit->session->sink, EVENT_CONFLICT, { "path", EVENT_TEXT, .text = path },
               { "reason", EVENT_TEXT, .text = reason });
}

/* --- what lies there -------------------------------------------------------------------------- */

/* The directory that holds `path`, never through a link; -1 with errno. Kept open between calls. */
static int open_parent(struct work *work, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    if (work->parent_fd >= 0 && strcmp(parent, work->parent) == 0)
        return work->parent_fd;
    fd_close(&work->parent_fd);
    g_free(work->parent);
    work->parent = g_steal_pointer(&parent);
    work->parent_fd =
        fd_open_beneath(work->commit->session->root_fd, work->parent, O_RDONLY | O_DIRECTORY, 0);
    return work->parent_fd;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool hash_file(int directory, const char *name, struct digest *out)
{
    autofd int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    g_autofree char *buffer = g_malloc(1 << 17);
    struct digest_context context;
    ssize_t count;
    if (file < 0)
        return false;
    digest_init(&context);
    while ((count = read(file, buffer, 1 << 17)) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        digest_update(&context, buffer, (size_t)count);
    }
    digest_finish(&context, out);
    return true;
}

/* What lies at `name` now. False: something that no tree holds, or that cannot be read. */
struct present {
    bool exists;
    struct stat status;
    struct tree_entry entry;
    char target[PATH_MAX];
};

static bool look(int directory, const char *name, struct present *out)
{
    out->entry = (struct tree_entry){ 0 };
    out->exists = fstatat(directory, name, &out->status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!out->exists)
        return errno == ENOENT || errno == ENOTDIR;
    switch (out->status.st_mode & S_IFMT) {
    case S_IFREG:
        out->entry.kind = TREE_FILE;
        out->entry.executable = (out->status.st_mode & S_IXUSR) != 0;
        return hash_file(directory, name, &out->entry.digest);
    case S_IFLNK: {
        ssize_t size = readlinkat(directory, name, out->target, sizeof out->target - 1);
        out->target[MAX(size, 0)] = '\0';
        out->entry.kind = TREE_SYMLINK;
        out->entry.target = out->target;
        return size >= 0;
    }
    case S_IFDIR:
        out->entry.kind = TREE_DIRECTORY;
        return true;
    default:
        return false;
    }
}

/* Equal as far as one path goes: directories are equal whatever they hold. */
static bool same(const struct tree_entry *a, const struct tree_entry *b)
{
    return a->kind == b->kind && (a->kind == TREE_DIRECTORY || tree_entry_equal(a, b));
}

/* The captured state of `path`; *covered says whether capture looked there. */
static const struct tree_entry *captured(const struct commit *commit, const char *path,
                                         bool *covered)
{
    const struct tree_entry *entry = NULL;
    *covered = true;
    if (commit->stale != NULL && (entry = tree_lookup(commit->stale, path)) != NULL)
        return entry;
    if ((entry = tree_lookup(commit->present, path)) != NULL)
        return entry;
    *covered = (commit->stale_glob != NULL && glob_match(commit->stale_glob, path, false)) ||
               commit->present_glob == NULL || glob_match(commit->present_glob, path, false);
    return NULL;
}

/* May what lies there be replaced? Counts and reports the conflict if not. */
static bool may_replace(struct work *work, const char *path, const struct present *present,
                        bool readable)
{
    bool covered;
    const struct tree_entry *before = captured(work->commit, path, &covered);
    if (!present->exists)
        return true;
    if (!covered) {
        if (fd_nanoseconds(present->status.st_ctim) <= work->commit->began)
            return true;
        conflict(work, path, "it was changed while the command ran");
        return false;
    }
    if (readable && before != NULL && same(&present->entry, before))
        return true;
    conflict(work, path,
             before == NULL ? "it appeared while the command ran"
                            : "it was changed while the command ran");
    return false;
}

/* --- writing ---------------------------------------------------------------------------------- */

static gint64 time_of(const struct work *work, const struct output_extra *extra)
{
    const struct result *result = work->commit->result;
    if (extra == NULL || extra->mtime == 0 || extra->mtime == SANDBOX_INPUT_TIME)
        return work->now;
    gint64 start = result->started * 1000 - 1000000000;
    bool natural = extra->mtime >= start &&
                   extra->mtime <= start + result->wall * 1000 + 2 * (gint64)1000000000;
    return natural && work->fresh ? work->now : extra->mtime;
}

/* What the command chose, if it chose; else what the user's umask makes of the usual. */
static mode_t mode_of(const struct work *work, const struct tree_entry *entry,
                      const struct output_extra *extra)
{
    mode_t usual = entry->kind == TREE_DIRECTORY || entry->executable ? 0755 : 0644;
    if (extra != NULL && extra->mode != 0 && extra->mode != usual)
        return extra->mode;
    return (entry->kind == TREE_DIRECTORY || entry->executable ? 0777 : 0666) & ~work->mask;
}

static void set_times(struct timespec times[2], gint64 mtime)
{
    times[0] = (struct timespec){ .tv_nsec = UTIME_NOW };
    times[1] = (struct timespec){ .tv_sec = mtime / 1000000000, .tv_nsec = mtime % 1000000000 };
}

/* A name beside `name` that nobody has; the caller frees. */
static char *temporary_name(void)
{
    return g_strdup_printf(".vial-%08x%08x~", g_random_int(), g_random_int());
}

/* Move the complete file `temporary` to `name`, or remove it. */
static bool put_in_place(int parent, const char *temporary, const char *name, const char *path,
                         GError **error)
{
    if (renameat(parent, temporary, parent, name) == 0)
        return true;
    fault_errno(error, errno, "cannot write %s", path);
    unlinkat(parent, temporary, 0);
    return false;
}

static bool copy_file(struct work *work, int parent, const char *path,
                      const struct tree_entry *entry, mode_t mode, gint64 mtime, GError **error)
{
    const struct commit *commit = work->commit;
    autofd int from = fd_open_beneath(commit->source, path, O_RDONLY, 0);
    if (from < 0)
        return fault_errno(error, errno, "cannot read the output %s", path);
    g_autofree char *temporary = temporary_name();
    autofd int to = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return fault_errno(error, errno, "cannot write %s", path);
    struct timespec times[2];
    set_times(times, mtime);
    bool ok = fd_copy(from, to, entry->digest.size, path, error);
    if (ok && (fchmod(to, mode) < 0 || futimens(to, times) < 0))
        ok = fault_errno(error, errno, "cannot set mode and time of %s", path);
    if (!ok) {
        unlinkat(parent, temporary, 0);
        return false;
    }
    return put_in_place(parent, temporary, base_name(path), path, error);
}

static bool link_file(struct work *work, int parent, const char *path, const char *first,
                      GError **error)
{
    g_autofree char *temporary = temporary_name();
    if (linkat(work->commit->session->root_fd, first, parent, temporary, 0) < 0)
        return fault_errno(error, errno, "cannot link %s to %s", path, first);
    if (!put_in_place(parent, temporary, base_name(path), path, error))
        return false;
    unlinkat(parent, temporary, 0); /* rename of one inode onto itself does nothing */
    return true;
}

static bool write_file(struct work *work, int parent, const char *path,
                       const struct tree_entry *entry, GError **error)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, path);
    mode_t mode = mode_of(work, entry, extra);
    gint64 mtime = time_of(work, extra);
    if (extra != NULL && extra->hard_link != NULL &&
        link_file(work, parent, path, extra->hard_link, NULL))
        return true;
    if (work->commit->source >= 0)
        return copy_file(work, parent, path, entry, mode, mtime, error);
    return store_write_file(work->commit->store, &entry->digest, parent, base_name(path), mode,
                            mtime, error);
}

static bool write_link(int parent, const char *path, const char *target, GError **error)
{
    g_autofree char *temporary = temporary_name();
    if (symlinkat(target, parent, temporary) < 0)
        return fault_errno(error, errno, "cannot make the link %s", path);
    return put_in_place(parent, temporary, base_name(path), path, error);
}

static bool write_directory(struct work *work, int parent, const char *path,
                            const struct tree_entry *entry, GError **error)
{
    mode_t mode = mode_of(work, entry, g_hash_table_lookup(work->extras, path));
    if (mkdirat(parent, base_name(path), mode) < 0)
        return fault_errno(error, errno, "cannot make the directory %s", path);
    return true;
}

/* What is in the way of another kind: a file where a directory goes, or the reverse. */
static bool clear_way(struct work *work, int parent, const char *path,
                      const struct present *present, enum tree_kind kind, GError **error)
{
    bool directory_there = present->exists && S_ISDIR(present->status.st_mode);
    if (!present->exists || directory_there == (kind == TREE_DIRECTORY))
        return true;
    if (unlinkat(parent, base_name(path), directory_there ? AT_REMOVEDIR : 0) == 0)
        return true;
    if (errno == ENOTEMPTY || errno == EEXIST) {
        conflict(work, path, "a directory with other files is in the way");
        return false;
    }
    return fault_errno(error, errno, "cannot remove %s", path);
}

static bool write_entry(struct work *work, int parent, const char *path,
                        const struct tree_entry *entry, GError **error)
{
    switch (entry->kind) {
    case TREE_FILE:
        return write_file(work, parent, path, entry, error);
    case TREE_SYMLINK:
        return write_link(parent, path, entry->target, error);
    default:
        return write_directory(work, parent, path, entry, error);
    }
}

/* Parents of declared outputs need not be among the outputs. */
static int make_parent(struct work *work, const char *path, GError **error)
{
    int parent = open_parent(work, path);
    if (parent < 0 && errno == ENOENT) {
        if (!fd_make_parents(work->commit->session->root_fd, path, error))
            return -1;
        parent = open_parent(work, path);
    }
    if (parent < 0)
        fault_errno(error, errno, "cannot open the directory of %s", path);
    return parent;
}

static bool commit_entry(struct work *work, const char *path, const struct tree_entry *entry,
                         GError **error)
{
    struct commit *commit = work->commit;
    bool covered;
    const struct tree_entry *before = captured(commit, path, &covered);
    if (before != NULL && same(before, entry)) {
        commit->unchanged += entry->kind != TREE_DIRECTORY;
        return true;
    }
    struct present present;
    int parent = make_parent(work, path, error);
    if (parent < 0)
        return false;
    bool readable = look(parent, base_name(path), &present);
    if (present.exists && readable && same(&present.entry, entry)) {
        commit->unchanged += entry->kind != TREE_DIRECTORY;
        return true;
    }
    if (!may_replace(work, path, &present, readable))
        return true;
    GError *local = NULL;
    if (!clear_way(work, parent, path, &present, entry->kind, &local) ||
        !write_entry(work, parent, path, entry, &local)) {
        if (local != NULL)
            g_propagate_error(error, local);
        return local == NULL;
    }
    commit->written += entry->kind != TREE_DIRECTORY;
    return true;
}

static bool visit_output(const char *path, const struct tree_entry *entry, void *user)
{
    struct work *work = user;
    GError *error = NULL;
    if (!commit_entry(work, path, entry, &error))
        note_error(work, error);
    return true;
}

/* --- deletions -------------------------------------------------------------------------------- */

static bool commit_deletion(struct work *work, const char *path, GError **error)
{
    struct present present;
    int parent = open_parent(work, path);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR ||
               fault_errno(error, errno, "cannot open the directory of %s", path);
    bool readable = look(parent, base_name(path), &present);
    if (!present.exists || !may_replace(work, path, &present, readable))
        return true;
    bool directory = S_ISDIR(present.status.st_mode);
    if (unlinkat(parent, base_name(path), directory ? AT_REMOVEDIR : 0) == 0) {
        work->commit->deleted++;
        return true;
    }
    if (directory && (errno == ENOTEMPTY || errno == EEXIST))
        return true; /* the user's own files are in it */
    return fault_errno(error, errno, "cannot remove %s", path);
}

static bool collect_leftover(const char *path, const struct tree_entry *before,
                             const struct tree_entry *after, void *user)
{
    struct work *work = user;
    if (after == NULL && tree_lookup(work->commit->outputs, path) == NULL)
        g_ptr_array_add(work->deletions, g_strdup(path));
    return true;
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/*
 * What the command deleted, and what an earlier run of it left behind that this one does not make.
 * Sorted, a directory's content comes after it, so deletion goes from the end.
 */
static void commit_deletions(struct work *work)
{
    char **deleted = work->commit->result->deleted;
    work->deletions = g_ptr_array_new_with_free_func(g_free);
    for (; deleted != NULL && *deleted != NULL; deleted++)
        g_ptr_array_add(work->deletions, g_strdup(*deleted));
    tree_diff(work->commit->present, work->commit->inputs, collect_leftover, work);
    g_ptr_array_sort(work->deletions, compare_texts);
    for (guint i = work->deletions->len; i-- > 0;) {
        GError *error = NULL;
        if (!commit_deletion(work, work->deletions->pdata[i], &error))
            note_error(work, error);
    }
    g_ptr_array_unref(work->deletions);
}

/* What an earlier run changed in place and this one left alone goes back to what it was. */
static bool restore_input(const char *path, const struct tree_entry *before,
                          const struct tree_entry *after, void *user)
{
    struct work *work = user;
    const struct commit *commit = work->commit;
    char **deleted = commit->result->deleted;
    GError *error = NULL;
    if (after == NULL || tree_lookup(commit->outputs, path) != NULL ||
        (deleted != NULL && g_strv_contains((const char *const *)deleted, path)))
        return true;
    if (!commit_entry(work, path, after, &error))
        note_error(work, error);
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void commit_fifos(struct work *work)
{
    const GPtrArray *extras = work->commit->result->extras;
    for (guint i = 0; i < extras->len; i++) {
        const struct output_extra *extra = extras->pdata[i];
        GError *error = NULL;
        int parent = extra->fifo ? make_parent(work, extra->path, &error) : -1;
        if (parent >= 0 && mkfifoat(parent, base_name(extra->path), extra->mode) < 0 &&
            errno != EEXIST)
            fault_errno(&error, errno, "cannot make the FIFO %s", extra->path);
        if (error != NULL)
            note_error(work, error);
    }
}

/* Does an input look younger than an output that the run wrote? Then the run's times won't do. */
static bool is_stale(const struct work *work)
{
    const struct result *result = work->commit->result;
    return result->started * 1000 < work->commit->newest;
}

bool commit_outputs(struct commit *commit, GError **error)
{
    struct work work = {
        .commit = commit,
        .extras = g_hash_table_new(g_str_hash, g_str_equal),
        .now = g_get_real_time() * 1000,
        .parent_fd = -1,
        .mask = umask(0),
    };
    umask(work.mask);
    work.fresh = is_stale(&work);
    for (guint i = 0; i < commit->result->extras->len; i++) {
        struct output_extra *extra = commit->result->extras->pdata[i];
        g_hash_table_insert(work.extras, extra->path, extra);
    }
    commit_deletions(&work);
    fd_close(&work.parent_fd); /* it may be one that was removed */
    tree_walk(commit->outputs, visit_output, &work);
    commit_fifos(&work);
    commit->source = -1; /* inputs lie in the store */
    tree_diff(commit->present, commit->inputs, restore_input, &work);
    fd_close(&work.parent_fd);
    g_free(work.parent);
    g_hash_table_unref(work.extras);
    if (work.error != NULL)
        g_propagate_error(error, work.error);
    return work.error == NULL;
}
