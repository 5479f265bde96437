// SPDX-License-Identifier: Apache-2.0
/*
 * From a result to the workspace: file by file, atomically, and never over the user's own change.
 *
 *  1. A path whose captured state already equals the output is not touched: it keeps its time.
 *  2. Before any other path is replaced or removed, what lies there now is compared with what was
 *     captured. If it is neither that nor the output itself, the user changed it: it stays (V6).
 *  3. A path that capture did not cover was changed by the user if its ctime is later than the
 *     beginning of capture; nobody can set a ctime.
 *  4. No link among the directories of a path is followed: nothing is written outside.
 *  5. A .git that the command did not see, and the store, are not its to write: `git init` in a
 *     sandbox makes a new repository, which must not take the place of the user's.
 *  6. What an earlier run left behind goes, and what it changed goes back, only when this run
 *     succeeded: after a compiler's error the last good program is still there.
 */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "sandbox/sandbox.h"
#include "session/commit-internal.h"
#include "session/session-internal.h"
#include "store/materialize.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct work {
    struct commit *commit;
    GHashTable *extras;  /* path -> struct output_extra */
    GHashTable *deleted; /* const char *: what the command deleted */
    GHashTable *fifos;   /* const char *: FIFOs of an earlier run of it */
    GHashTable *looked;  /* char * -> struct looked: read before anything was written */
    GHashTable *unseen;  /* char * -> 1: lies there, 2: and was reported, 0: does not */
    GHashTable *staged;  /* stage_new() */
    GPtrArray *sealed;   /* char *: directories whose mode, attributes and time come last */
    GHashTable *timed;   /* char *: those of them whose time is the command's */
    GHashTable *changed; /* set of struct link: old files and directories whose names we take */
    gint64 now;          /* one time for all, ns: later outputs must not look older */
    bool fresh;          /* times of the run are older than an input: use `now` */
    mode_t mask;         /* the user's umask */
    char *parent;        /* path of the directory last opened */
    int parent_fd;
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

/* "WHAT PATH: why", of errno. */
static bool failed(GError **error, const char *what, const char *path)
{
    int number = errno;
    g_autofree char *quoted = path_quote(path);
    return fault_errno(error, number, "%s %s", what, quoted);
}

/* --- directories ------------------------------------------------------------------------------ */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

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

/*
 * The same, made if it is not there: parents of declared outputs need not be among the outputs. -1
 * without an error: the user has put a link or a file in the way, and stays in possession.
 */
static int make_parent(struct work *work, const char *path, GError **error)
{
    int parent = open_parent(work, path);
    if (parent < 0 && errno == ENOENT) {
        if (!fd_make_parents(work->commit->session->root_fd, path, error))
            return -1;
        parent = open_parent(work, path);
    }
    if (parent < 0 && (errno == ELOOP || errno == ENOTDIR))
        conflict(work, path, "a link or a file lies where its directory belongs");
    else if (parent < 0)
        failed(error, "cannot open the directory of", path);
    return parent;
}

/* --- what the command did not see ------------------------------------------------------------- */

static bool is_at_or_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* The .git or file of vial's own that `path` lies in, unless it was among the inputs; else NULL. */
static char *unseen_place(const struct commit *commit, const char *path)
{
    char *const *own = commit->session->own;
    for (size_t i = 0; i < G_N_ELEMENTS(commit->session->own); i++)
        if (own[i] != NULL && is_at_or_below(path, own[i]))
            return g_strdup(own[i]);
    if (commit->git_named)
        return NULL;
    for (const char *at = strstr(path, ".git"); at != NULL; at = strstr(at + 1, ".git")) {
        if ((at != path && at[-1] != '/') || (at[4] != '\0' && at[4] != '/'))
            continue;
        g_autofree char *place = g_strndup(path, (size_t)(at - path) + 4);
        return tree_lookup(commit->inputs, place) == NULL ? g_steal_pointer(&place) : NULL;
    }
    return NULL;
}

/*
 * Must `path` be left alone for that reason? Asked first before anything is written there, so what
 * lies there was there before. *place is set, and the caller's to free.
 */
static bool is_unseen(struct work *work, const char *path, char **place)
{
    *place = unseen_place(work->commit, path);
    if (*place == NULL)
        return false;
    gpointer known;
    if (!g_hash_table_lookup_extended(work->unseen, *place, NULL, &known)) {
        struct stat status;
        int parent = open_parent(work, *place);
        bool exists =
            parent >= 0 && fstatat(parent, base_name(*place), &status, AT_SYMLINK_NOFOLLOW) == 0;
        known = GINT_TO_POINTER(exists);
        g_hash_table_insert(work->unseen, g_strdup(*place), known);
    }
    return known != NULL;
}

static void keep_unseen(struct work *work, const char *place)
{
    if (GPOINTER_TO_INT(g_hash_table_lookup(work->unseen, place)) == 2)
        return;
    conflict(work, place, "the command did not see it, and made another");
    g_hash_table_insert(work->unseen, g_strdup(place), GINT_TO_POINTER(2));
}

/* --- whose it is ------------------------------------------------------------------------------ */

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
    *covered = (commit->stale != NULL && glob_match(commit->stale_glob, path, false)) ||
               commit->present_glob == NULL || glob_match(commit->present_glob, path, false);
    return NULL;
}

/* A file or directory by its number, whatever its names. */
struct link {
    guint64 device, inode;
};

static guint link_hash(gconstpointer data)
{
    const struct link *link = data;
    return g_int64_hash(&link->inode);
}

static gboolean link_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, sizeof(struct link)) == 0;
}

static void note_own_change(struct work *work, const struct stat *status)
{
    const struct link link = { status->st_dev, status->st_ino };
    if (fd_nanoseconds(status->st_ctim) <= work->commit->began)
        g_hash_table_add(work->changed, g_memdup2(&link, sizeof link));
}

/*
 * Has nobody else changed it since capture began? To take one of the names of a file away changes
 * the ctime that its others show, too, and to empty a directory changes that of the directory; for
 * a file the time of its content tells then.
 */
static bool is_older(void *user, const struct stat *status)
{
    struct work *work = user;
    const struct link link = { status->st_dev, status->st_ino };
    if (!S_ISDIR(status->st_mode) && status->st_nlink > 1)
        note_own_change(work, status);
    if (fd_nanoseconds(status->st_ctim) <= work->commit->began)
        return true;
    return g_hash_table_contains(work->changed, &link) &&
           (S_ISDIR(status->st_mode) || fd_nanoseconds(status->st_mtim) <= work->commit->began);
}

/* A FIFO has no content to compare: nobody has touched it, so it is the one that was captured. */
static bool is_own_fifo(const struct work *work, const char *path, const struct present *present)
{
    return S_ISFIFO(present->status.st_mode) && g_hash_table_contains(work->fifos, path);
}

/* May what lies there be replaced? Counts and reports the conflict if not. */
static bool may_replace(struct work *work, const char *path, const struct present *present,
                        bool readable)
{
    bool covered;
    const struct tree_entry *before = captured(work->commit, path, &covered);
    if (!present->exists)
        return true;
    if (!covered || is_own_fifo(work, path, present)) {
        if (is_older(work, &present->status))
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
    if (extra == NULL || extra->mtime == SANDBOX_INPUT_TIME ||
        extra->mtime == SANDBOX_COMPILED_TIME)
        return work->now;
    gint64 start = result->started * 1000 - 1000000000;
    bool natural = extra->mtime >= start &&
                   extra->mtime <= start + result->wall * 1000 + 2 * (gint64)1000000000;
    return natural && work->fresh ? work->now : extra->mtime;
}

static mode_t usual_mode(const struct tree_entry *entry)
{
    return entry->kind == TREE_DIRECTORY || entry->executable ? 0777 : 0666;
}

/* Did the command choose a mode? Its umask is 022. */
static bool has_chosen_mode(const struct work *work, const struct tree_entry *entry,
                            const struct output_extra *extra)
{
    return extra != NULL && (work->commit->exact || extra->mode != (usual_mode(entry) & ~022u));
}

static mode_t mode_of(const struct work *work, const struct tree_entry *entry,
                      const struct output_extra *extra)
{
    return has_chosen_mode(work, entry, extra) ? extra->mode : usual_mode(entry) & ~work->mask;
}

/* The first output of a group of links, if it has come to lie where it belongs. */
static bool link_output(struct work *work, const struct place *place,
                        const struct tree_entry *entry, const char *first)
{
    const struct tree_entry *target = tree_lookup(work->commit->outputs, first);
    g_autofree char *parent = g_path_get_dirname(first);
    struct present present;
    if (target == NULL || !same(target, entry))
        return false;
    autofd int directory =
        fd_open_beneath(work->commit->session->root_fd, parent, O_RDONLY | O_DIRECTORY, 0);
    return directory >= 0 && present_look(directory, base_name(first), NULL, &present) &&
           present.exists && same(&present.entry, entry) &&
           place_hard_link(place, directory, base_name(first), NULL);
}

static bool write_file(struct work *work, const struct place *place, const struct tree_entry *entry,
                       GError **error)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, place->path);
    const struct dress dress = { mode_of(work, entry, extra), time_of(work, extra), extra };
    if (extra != NULL && extra->hard_link != NULL &&
        link_output(work, place, entry, extra->hard_link))
        return true;
    autofd int ready = stage_take(work->staged, place->path, place->directory);
    if (ready >= 0)
        return place_ready(place, ready, entry, &dress, error);
    if (work->commit->source >= 0)
        return place_file(place, work->commit->source, entry, &dress, error);
    return place_blob(place, work->commit->store, entry, &dress, error);
}

/* Writable for now; a mode of the command's choice waits until the directory is filled. */
static bool write_directory(struct work *work, const struct place *place,
                            const struct tree_entry *entry, GError **error)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, place->path);
    if (mkdirat(place->directory, place->name, mode_of(work, entry, extra) | 0700) < 0)
        return failed(error, "cannot make the directory", place->path);
    if (has_chosen_mode(work, entry, extra) || (extra != NULL && extra->xattrs != NULL)) {
        g_ptr_array_add(work->sealed, g_strdup(place->path));
        g_hash_table_add(work->timed, g_strdup(place->path));
    }
    return true;
}

/* What is in the way of another kind: a file where a directory goes, or the reverse. */
static bool clear_way(const struct place *place, struct present *present, bool for_directory,
                      GError **error)
{
    bool directory_there = present->exists && S_ISDIR(present->status.st_mode);
    if (!present->exists || directory_there == for_directory)
        return true;
    if (unlinkat(place->directory, place->name, directory_there ? AT_REMOVEDIR : 0) == 0) {
        present->exists = false;
        return true;
    }
    if (errno == ENOTEMPTY || errno == EEXIST)
        return fault_set(error, FAULT_CONFLICT, "a directory with other files is in the way");
    return failed(error, "cannot remove", place->path);
}

static bool write_entry(struct work *work, const struct place *place,
                        const struct tree_entry *entry, GError **error)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, place->path);
    switch (entry->kind) {
    case TREE_FILE:
        return write_file(work, place, entry, error);
    case TREE_SYMLINK:
        return place_symlink(place, entry->target, work->commit->exact ? time_of(work, extra) : 0,
                             error);
    default:
        return write_directory(work, place, entry, error);
    }
}

/* What kept something from being written: the user, who came first, or an error. */
static bool settle(struct work *work, const struct place *place, GError *cause, GError **error)
{
    if (!g_error_matches(cause, FAULT, FAULT_CONFLICT)) {
        g_propagate_error(error, cause);
        return false;
    }
    conflict(work, place->path, cause->message);
    g_error_free(cause);
    return true;
}

/* Where we may not read the file, its attributes cannot have been seen either. */
static bool keep_attributes(struct work *work, int parent, const char *path,
                            const struct output_extra *extra, GError **error)
{
    if (!work->commit->exact)
        return true;
    g_autofree char *what = path_quote(path);
    autofd int file = openat(parent, base_name(path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return file < 0 || replace_attributes(file, what, extra, error);
}

/* Did the command set this time? What it wrote just so is younger than itself. */
static bool has_chosen_time(const struct work *work, const struct output_extra *extra)
{
    return work->commit->times && extra->mtime > 0 && extra->mtime != SANDBOX_INPUT_TIME &&
           extra->mtime < work->commit->result->started * 1000;
}

static bool keep_link(struct work *work, const char *path, const struct output_extra *extra,
                      GError **error)
{
    if (!has_chosen_time(work, extra))
        return true;
    int parent = open_parent(work, path);
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, fd_timespec(extra->mtime) };
    return parent < 0 || utimensat(parent, base_name(path), times, AT_SYMLINK_NOFOLLOW) == 0 ||
           failed(error, "cannot set the time of", path);
}

/* The content is there already; a mode that the command chose may not be. */
static bool keep_entry(struct work *work, const char *path, const struct tree_entry *entry,
                       GError **error)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, path);
    struct present present;
    work->commit->unchanged += entry->kind != TREE_DIRECTORY;
    if (extra == NULL || !has_chosen_mode(work, entry, extra))
        return true;
    if (entry->kind == TREE_SYMLINK)
        return keep_link(work, path, extra, error);
    if (entry->kind == TREE_DIRECTORY) {
        g_ptr_array_add(work->sealed, g_strdup(path));
        if (has_chosen_time(work, extra))
            g_hash_table_add(work->timed, g_strdup(path));
        return true;
    }
    int parent = open_parent(work, path);
    const char *name = base_name(path);
    if (parent < 0 || fstatat(parent, name, &present.status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(present.status.st_mode))
        return true;
    note_own_change(work, &present.status); /* as its other names will show */
    if (!keep_attributes(work, parent, path, extra, error))
        return false;
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, fd_timespec(extra->mtime) };
    bool retime = work->commit->times && extra->mtime > 0;
    bool same_mode = (present.status.st_mode & 07777) == extra->mode;
    if ((!retime && same_mode) || !present_look(parent, name, NULL, &present) ||
        !same(&present.entry, entry))
        return true;
    return ((same_mode || fchmodat(parent, name, extra->mode, 0) == 0) &&
            (!retime || utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) == 0)) ||
           failed(error, "cannot set the mode or time of", path);
}

/* A regular file of the workspace. */
struct looked {
    struct stat status;
    struct tree_entry entry;
};

/* present_look(), or what it found the first time if the file is still that one. */
static bool look(struct work *work, int parent, const char *path, struct present *out)
{
    const struct looked *looked = g_hash_table_lookup(work->looked, path);
    struct stat now;
    if (looked == NULL || fstatat(parent, base_name(path), &now, AT_SYMLINK_NOFOLLOW) < 0 ||
        now.st_dev != looked->status.st_dev || now.st_ino != looked->status.st_ino ||
        now.st_size != looked->status.st_size || now.st_mode != looked->status.st_mode ||
        fd_nanoseconds(now.st_ctim) != fd_nanoseconds(looked->status.st_ctim))
        return present_look(parent, base_name(path), NULL, out);
    *out = (struct present){ .exists = true, .status = now, .entry = looked->entry };
    return true;
}

/* Is the file there already as the output has it? */
static bool is_there(struct work *work, const char *path, const struct tree_entry *entry)
{
    struct present present;
    int parent = open_parent(work, path);
    if (parent < 0 || fstatat(parent, base_name(path), &present.status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(present.status.st_mode) || present.status.st_size != entry->digest.size ||
        !present_look(parent, base_name(path), work->commit->cancel, &present) ||
        present.entry.kind != TREE_FILE)
        return false;
    struct looked *looked = g_new(struct looked, 1);
    *looked = (struct looked){ present.status, present.entry };
    g_hash_table_replace(work->looked, g_strdup(path), looked);
    return same(&present.entry, entry);
}

/* While nothing is written, the whole commit can still be left. */
static bool is_cancelled(struct work *work)
{
    const volatile int *cancel = work->commit->cancel;
    if (work->error == NULL && cancel != NULL && *cancel != 0)
        fault_set(&work->error, FAULT_CANCELLED, "interrupted: nothing is written to %s",
                  work->commit->session->root);
    return work->error != NULL;
}

static bool check_output(const char *path, const struct tree_entry *entry, void *user)
{
    struct work *work = user;
    bool covered;
    if (entry->kind != TREE_FILE || entry->digest.size == 0)
        return true;
    const struct tree_entry *before = captured(work->commit, path, &covered);
    return (before != NULL && same(before, entry)) || is_there(work, path, entry) ||
           (!is_cancelled(work) && store_check_blob(work->commit->store, &entry->digest, path,
                                                    work->commit->cancel, &work->error));
}

/*
 * Is all that is to be written whole? What of a result's outputs is there already is in the way of
 * the run that has to make up for the rest.
 */
static bool outputs_are_whole(struct work *work)
{
    if (work->commit->source < 0)
        tree_walk(work->commit->outputs, check_output, work);
    return work->error == NULL;
}

static bool stage_output(const char *path, const struct tree_entry *entry, void *user)
{
    struct work *work = user;
    bool covered;
    if (!stage_wants(work->staged, entry))
        return true;
    const struct tree_entry *before = captured(work->commit, path, &covered);
    return (before != NULL && same(before, entry)) || is_there(work, path, entry) ||
           (!is_cancelled(work) &&
            stage_file(work->staged, work->commit, path, entry, &work->error));
}

/* What takes long comes first: from here on a commit that is interrupted is completed. */
static bool is_ready(struct work *work)
{
    if (!outputs_are_whole(work))
        return false;
    tree_walk(work->commit->outputs, stage_output, work);
    return !is_cancelled(work);
}

static bool commit_entry(struct work *work, const char *path, const struct tree_entry *entry,
                         GError **error)
{
    struct commit *commit = work->commit;
    bool covered;
    g_autofree char *unseen = NULL;
    struct present present = { 0 };
    GError *cause = NULL;
    const struct tree_entry *before = captured(commit, path, &covered);
    if (before != NULL && same(before, entry))
        return keep_entry(work, path, entry, error);
    bool leave = is_unseen(work, path, &unseen);
    int parent = leave ? open_parent(work, path) : make_parent(work, path, error);
    if (parent < 0 && !leave)
        return *error == NULL;
    bool readable = parent >= 0 && look(work, parent, path, &present);
    if (readable && present.exists && same(&present.entry, entry))
        return leave || keep_entry(work, path, entry, error);
    if (leave)
        keep_unseen(work, unseen);
    if (leave || !may_replace(work, path, &present, readable))
        return true;
    g_autofree char *what = path_quote(path);
    struct place place = { parent, base_name(path), path, what, &present };
    if (!clear_way(&place, &present, entry->kind == TREE_DIRECTORY, &cause) ||
        !write_entry(work, &place, entry, &cause))
        return settle(work, &place, cause, error);
    commit->written += entry->kind != TREE_DIRECTORY;
    return true;
}

static bool makes_fifo(const struct work *work, const char *path)
{
    const struct output_extra *extra = g_hash_table_lookup(work->extras, path);
    return extra != NULL && extra->fifo;
}

static bool visit_output(const char *path, const struct tree_entry *entry, void *user)
{
    struct work *work = user;
    GError *error = NULL;
    if (makes_fifo(work, path)) /* in place of what the tree still shows */
        return true;
    if (!commit_entry(work, path, entry, &error))
        note_error(work, error);
    return true;
}

static bool commit_fifo(struct work *work, const struct output_extra *extra, GError **error)
{
    g_autofree char *unseen = NULL;
    struct present present = { 0 };
    if (is_unseen(work, extra->path, &unseen)) {
        keep_unseen(work, unseen);
        return true;
    }
    int parent = make_parent(work, extra->path, error);
    if (parent < 0)
        return *error == NULL;
    bool readable = present_look(parent, base_name(extra->path), NULL, &present);
    if (present.exists && S_ISFIFO(present.status.st_mode))
        return !work->commit->exact ||
               fchmodat(parent, base_name(extra->path), extra->mode, 0) == 0 ||
               failed(error, "cannot set the mode of", extra->path);
    if (!may_replace(work, extra->path, &present, readable))
        return true;
    const struct tree_entry file = { .kind = TREE_FILE };
    g_autofree char *what = path_quote(extra->path);
    struct place place = { parent, base_name(extra->path), extra->path, what, &present };
    GError *cause = NULL;
    return (clear_way(&place, &present, false, &cause) &&
            place_fifo(&place, mode_of(work, &file, extra), &cause)) ||
           settle(work, &place, cause, error);
}

static void commit_fifos(struct work *work)
{
    const GPtrArray *extras = work->commit->result->extras;
    for (guint i = 0; i < extras->len; i++) {
        const struct output_extra *extra = extras->pdata[i];
        GError *error = NULL;
        if (extra->fifo && !commit_fifo(work, extra, &error))
            note_error(work, error);
    }
}

/* --- directories that the command closed ------------------------------------------------------ */

/* An earlier run made them read-only as this one does: they are opened while vial writes there. */
static void unseal_directories(struct work *work)
{
    const GPtrArray *extras = work->commit->result->extras;
    for (guint i = 0; i < extras->len; i++) {
        const struct output_extra *extra = extras->pdata[i];
        const struct tree_entry *entry;
        struct stat status;
        if ((extra->mode & 0700) == 0700 ||
            (entry = tree_lookup(work->commit->outputs, extra->path)) == NULL ||
            entry->kind != TREE_DIRECTORY)
            continue;
        int parent = open_parent(work, extra->path);
        const char *name = base_name(extra->path);
        if (parent >= 0 && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode) && (status.st_mode & 07777) == extra->mode &&
            fchmodat(parent, name, extra->mode | 0700, 0) == 0)
            g_ptr_array_add(work->sealed, g_strdup(extra->path));
    }
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* From the deepest up. */
static void seal_directories(struct work *work)
{
    const struct tree_entry entry = { .kind = TREE_DIRECTORY };
    g_ptr_array_sort(work->sealed, compare_texts);
    for (guint i = work->sealed->len; i-- > 0;) {
        const char *path = work->sealed->pdata[i];
        const struct output_extra *extra = g_hash_table_lookup(work->extras, path);
        GError *error = NULL;
        g_autofree char *what = path_quote(path);
        autofd int directory =
            fd_open_beneath(work->commit->session->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        const struct dress dress = { mode_of(work, &entry, extra), time_of(work, extra), extra };
        bool timed = work->commit->exact && g_hash_table_contains(work->timed, path);
        if (directory >= 0 && ((work->commit->exact && extra != NULL &&
                                !replace_attributes(directory, what, extra, &error)) ||
                               !dress_directory(directory, what, &dress, timed, &error)))
            note_error(work, error);
    }
}

/* --- deletions -------------------------------------------------------------------------------- */

static bool commit_deletion(struct work *work, const char *path, GError **error)
{
    struct present present;
    int parent = open_parent(work, path);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ||
               failed(error, "cannot open the directory of", path);
    bool readable = present_look(parent, base_name(path), NULL, &present);
    if (!present.exists || !may_replace(work, path, &present, readable))
        return true;
    bool directory = S_ISDIR(present.status.st_mode);
    struct stat above;
    if (fstat(parent, &above) == 0)
        note_own_change(work, &above);
    if (unlinkat(parent, base_name(path), directory ? AT_REMOVEDIR : 0) == 0) {
        work->commit->deleted += !directory;
        return true;
    }
    if (directory && (errno == ENOTEMPTY || errno == EEXIST))
        return true; /* the user's own files are in it */
    return failed(error, "cannot remove", path);
}

struct leftovers {
    struct work *work;
    GPtrArray *paths;
};

static bool collect_leftover(const char *path, const struct tree_entry *before,
                             const struct tree_entry *after, void *user)
{
    struct leftovers *leftovers = user;
    if (after == NULL && tree_lookup(leftovers->work->commit->outputs, path) == NULL)
        g_ptr_array_add(leftovers->paths, g_strdup(path));
    return true;
}

static void collect_fifos(struct leftovers *leftovers)
{
    const struct commit *commit = leftovers->work->commit;
    for (guint i = 0; commit->fifos != NULL && i < commit->fifos->len; i++) {
        const char *path = commit->fifos->pdata[i];
        if (tree_lookup(commit->outputs, path) == NULL &&
            tree_lookup(commit->inputs, path) == NULL && !makes_fifo(leftovers->work, path))
            g_ptr_array_add(leftovers->paths, g_strdup(path));
    }
}

/*
 * What the command deleted, and what an earlier run of it left behind that this one does not make.
 * Sorted, a directory's content comes after it, so deletion goes from the end.
 */
static void commit_deletions(struct work *work)
{
    const struct commit *commit = work->commit;
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    struct leftovers leftovers = { work, paths };
    for (char **deleted = commit->result->deleted; deleted != NULL && *deleted != NULL; deleted++) {
        g_hash_table_add(work->deleted, *deleted);
        if (!makes_fifo(work, *deleted)) /* that takes its place */
            g_ptr_array_add(paths, g_strdup(*deleted));
    }
    if (commit->result->exit_code == 0) {
        tree_diff(commit->present, commit->inputs, collect_leftover, &leftovers);
        collect_fifos(&leftovers);
    }
    g_ptr_array_sort(paths, compare_texts);
    for (guint i = paths->len; i-- > 0;) {
        GError *error = NULL;
        if (!commit_deletion(work, paths->pdata[i], &error))
            note_error(work, error);
    }
    fd_close(&work->parent_fd); /* it may be one that was removed */
}

/* What an earlier run changed in place and this one left alone goes back to what it was. */
static bool restore_input(const char *path, const struct tree_entry *before,
                          const struct tree_entry *after, void *user)
{
    struct work *work = user;
    if (after == NULL || tree_lookup(work->commit->outputs, path) != NULL ||
        g_hash_table_contains(work->deleted, path))
        return true;
    return visit_output(path, after, user);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Does an input look younger than an output that the run wrote? Then the run's times won't do. */
static bool is_stale(const struct commit *commit)
{
    return commit->result->started * 1000 < commit->newest;
}

static void work_init(struct work *work, struct commit *commit)
{
    *work = (struct work){
        .commit = commit,
        .extras = g_hash_table_new(g_str_hash, g_str_equal),
        .deleted = g_hash_table_new(g_str_hash, g_str_equal),
        .fifos = g_hash_table_new(g_str_hash, g_str_equal),
        .looked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .unseen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .staged = stage_new(),
        .sealed = g_ptr_array_new_with_free_func(g_free),
        .timed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .changed = g_hash_table_new_full(link_hash, link_equal, g_free, NULL),
        .now = g_get_real_time() * 1000,
        .fresh = is_stale(commit),
        .mask = umask(0),
        .parent_fd = -1,
    };
    umask(work->mask);
    for (guint i = 0; commit->fifos != NULL && i < commit->fifos->len; i++)
        g_hash_table_add(work->fifos, commit->fifos->pdata[i]);
    for (guint i = 0; i < commit->result->extras->len; i++) {
        struct output_extra *extra = commit->result->extras->pdata[i];
        g_hash_table_insert(work->extras, extra->path, extra);
    }
}

static void work_release(struct work *work)
{
    fd_close(&work->parent_fd);
    g_free(work->parent);
    g_hash_table_unref(work->extras);
    g_hash_table_unref(work->deleted);
    g_hash_table_unref(work->fifos);
    g_hash_table_unref(work->looked);
    g_hash_table_unref(work->unseen);
    g_hash_table_unref(work->staged);
    g_ptr_array_unref(work->sealed);
    g_hash_table_unref(work->timed);
    g_hash_table_unref(work->changed);
}

static void commit_all(struct work *work)
{
    struct commit *commit = work->commit;
    unseal_directories(work);
    commit_deletions(work);
    tree_walk(commit->outputs, visit_output, work);
    commit_fifos(work);
    GError *cause = NULL;
    if (commit->exact && commit->source >= 0 && commit->result->uncacheable != NULL &&
        !commit_raw(commit, is_older, work, &cause))
        note_error(work, cause);
    commit->source = -1; /* inputs lie in the store */
    if (commit->result->exit_code == 0)
        tree_diff(commit->present, commit->inputs, restore_input, work);
    seal_directories(work);
}

bool commit_outputs(struct commit *commit, GError **error)
{
    struct work work;
    work_init(&work, commit);
    if (is_ready(&work))
        commit_all(&work);
    work_release(&work);
    if (work.error != NULL)
        g_propagate_error(error, work.error);
    return work.error == NULL;
}
