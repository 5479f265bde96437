// SPDX-License-Identifier: Apache-2.0
/*
 * What lies in work/: the inputs before the command, and what it made of them after.
 *
 * Runs in vial, on files that the command may have left in any state: nothing here follows a link
 * of theirs, and names reach the disk through trees alone.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "store/materialize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- before ----------------------------------------------------------------------------------- */

/*
 * `tree` with the directory `path`, unless a link leads there: that then decides, inside. Made in
 * the tree rather than on disk, where a link among the inputs could lead vial anywhere.
 */
static struct tree *with_directory(struct tree *tree, const char *path, GError **error)
{
    g_autoptr(tree) empty = tree_empty();
    const struct tree_entry directory = { .kind = TREE_DIRECTORY, .directory = empty };
    for (const char *end = path; *path != '\0' && end != NULL;) {
        end = strchr(end + (end != path), '/');
        g_autofree char *prefix =
            end == NULL ? g_strdup(path) : g_strndup(path, (gsize)(end - path));
        const struct tree_entry *entry = tree_lookup(tree, prefix);
        if (entry == NULL)
            return tree_replace(tree, path, &directory, error);
        if (entry->kind == TREE_SYMLINK)
            break;
        if (entry->kind == TREE_FILE) {
            g_autofree char *quoted = path_quote(prefix);
            fault_set(error, FAULT_CONFLICT, "%s must be a directory, but is a file of the inputs",
                      quoted);
            return NULL;
        }
    }
    return tree_ref(tree);
}

/* The directory that everything `pattern` can match lies in, as far as it is literal. */
static char *literal_parent(const char *pattern)
{
    g_autoptr(GString) path = g_string_new(NULL);
    gsize length = 0;
    for (const char *at = pattern + (*pattern == '/'); *at != '\0'; at++) {
        if (strchr("*?[", *at) != NULL)
            break;
        if (*at == '/' && at[1] != '\0')
            length = path->len;
        if (*at == '\\' && at[1] != '\0')
            at++;
        g_string_append_c(path, *at);
    }
    return g_strndup(path->str, length);
}

/* The working directory, and those that declared outputs are to appear in. */
struct tree *sandbox_provided(const struct action *action, GError **error)
{
    struct tree *tree = with_directory(action->inputs, action->directory, error);
    for (char **output = action->outputs; tree != NULL && output != NULL && *output; output++) {
        g_autofree char *parent = **output == '!' ? g_strdup("") : literal_parent(*output);
        struct tree *more = with_directory(tree, parent, error);
        tree_unref(tree);
        tree = more;
    }
    return tree;
}

/*
 * Inputs have the same modes whatever the user's umask, which belongs to the process: it is another
 * one while any thread is here.
 */
static void borrow_mask(bool begin)
{
    static GMutex lock;
    static unsigned users;
    static mode_t before;
    g_mutex_lock(&lock);
    if (begin && users++ == 0)
        before = umask(022);
    else if (!begin && --users == 0)
        umask(before);
    g_mutex_unlock(&lock);
}

bool sandbox_complete(struct files *files, GError **error)
{
    files->provided = sandbox_provided(files->request->action, error);
    files->known = stat_cache_new(NULL);
    return files->provided != NULL;
}

/*
 * Large blobs are not hard-linked, even where the command could not write to them: `touch
 * configure` and `cp data copy; echo >> copy` would fail, and only for root and only for large
 * files.
 */
bool sandbox_provide(struct files *files, GError **error)
{
    const struct execution_request *request = files->request;
    struct materialize_request materialize = {
        .store = request->store,
        .tree = files->provided,
        .directory = files->work,
        .name = files->name,
        .mtime = SANDBOX_INPUT_TIME,
        .compiled_mtime = SANDBOX_COMPILED_TIME,
        .owner = files->separate ? SANDBOX_HOST_ID : (uid_t)-1,
        .group = files->separate ? SANDBOX_HOST_ID : (gid_t)-1,
        .learn = files->known,
        .jobs = request->jobs,
        .cancel = request->interrupt,
    };
    borrow_mask(true);
    bool ok = store_materialize(&materialize, error);
    borrow_mask(false);
    return ok;
}

/* --- after ------------------------------------------------------------------------------------ */

/* Give the owner back what the command took away; the mode it chose is remembered. */
static void widen(struct files *files, int directory, const char *name, const char *path)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(status.st_mode))
        return;
    mode_t needed = S_ISDIR(status.st_mode) ? 0700 : S_ISREG(status.st_mode) ? 0400 : 0;
    if ((status.st_mode & needed) != needed &&
        fchmodat(directory, name, (status.st_mode & 07777) | needed, 0) == 0)
        g_hash_table_insert(files->modes, g_strdup(path), GUINT_TO_POINTER(status.st_mode & 07777));
    if (!S_ISDIR(status.st_mode))
        return;
    int child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = child < 0 ? NULL : fdopendir(child);
    if (stream == NULL)
        return fd_close(&child);
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        g_autofree char *below = path_join(path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            widen(files, dirfd(stream), entry->d_name, below);
    }
    closedir(stream);
}

/* Root may read everything; an ordinary user only after this. True if anything was changed. */
static bool make_readable(struct files *files)
{
    if (geteuid() == 0 || files->modes != NULL)
        return false;
    files->modes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    widen(files, files->work, ".", "");
    return g_hash_table_size(files->modes) > 0;
}

static bool capture(struct files *files, const struct glob *select, struct capture *out,
                    GError **error)
{
    const struct execution_request *request = files->request;
    /*
     * The command has had its interrupt; one that comes only now stops the capture. What it left
     * reaches the workspace, and need not be stored: its result will not be.
     */
    bool over = request->interrupt != NULL && *request->interrupt != 0;
    struct capture_request capture = {
        .directory = files->work,
        .name = files->name,
        .select = select,
        .cache = files->known,
        .batch = over ? NULL : request->batch,
        .jobs = request->jobs,
        .outputs = true,
        .cancel = over ? NULL : request->interrupt,
    };
    g_autoptr(GError) local = NULL;
    bool ok = store_capture(request->store, &capture, out, &local);
    bool whole = ok && out->unsupported->len == 0;
    if (!whole && !g_error_matches(local, FAULT, FAULT_CANCELLED) && make_readable(files)) {
        capture_clear(out);
        g_clear_error(&local);
        ok = store_capture(request->store, &capture, out, &local);
    }
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&local));
    return ok;
}

struct changes {
    const struct action *action;
    GArray *present; /* struct tree_change: added or changed */
    GPtrArray *gone; /* char * */
};

static bool note_change(const char *path, const struct tree_entry *before,
                        const struct tree_entry *after, void *user)
{
    struct changes *changes = user;
    struct tree_change change = { .path = g_strdup(path), .entry = after };
    if (after != NULL)
        g_array_append_val(changes->present, change);
    else if (tree_lookup(changes->action->inputs, path) != NULL)
        g_ptr_array_add(changes->gone, (char *)change.path);
    else
        g_free((char *)change.path); /* a directory that was ours */
    return true;
}

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void clear_change(gpointer data)
{
    g_free((char *)((struct tree_change *)data)->path);
}

/* --- what a view has laid out is only what changed -----------------------------------------------
 */

/* `tree` without what is gone; what lay in a directory that is goes with it. */
static struct tree *without(struct tree *tree, const GPtrArray *deleted, GError **error)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, TRUE, sizeof(struct tree_change));
    const char *top = NULL;
    for (guint i = 0; deleted != NULL && i < deleted->len; i++) {
        const struct tree_change change = { .path = deleted->pdata[i] };
        size_t length = top == NULL ? 0 : strlen(top);
        if (top != NULL && strncmp(change.path, top, length) == 0 && change.path[length] == '/')
            continue;
        if (!path_is_relative(change.path)) /* a name that is not UTF-8: not in the tree at all */
            continue;
        top = change.path;
        g_array_append_val(changes, change);
    }
    return tree_apply(tree, (const struct tree_change *)(void *)changes->data, changes->len, error);
}

struct overlay {
    const struct tree *base;
    GArray *changes; /* struct tree_change */
};

/* A directory that was laid out for its mode alone still holds what it held. */
static bool note_overlay(const char *path, const struct tree_entry *entry, void *user)
{
    struct overlay *overlay = user;
    if (entry->kind == TREE_DIRECTORY) {
        const struct tree_entry *below = tree_lookup(overlay->base, path);
        if (tree_size(entry->directory) > 0 || (below != NULL && below->kind == TREE_DIRECTORY))
            return true;
    }
    struct tree_change change = { .path = g_strdup(path), .entry = entry };
    g_array_append_val(overlay->changes, change);
    return true;
}

/* What the command has made of `before`, of which `laid_out` is what it changed. */
static struct tree *overlaid(const struct files *files, struct tree *before, struct tree *laid_out,
                             GError **error)
{
    g_autoptr(tree) base = without(before, files->deleted, error);
    if (base == NULL)
        return NULL;
    struct overlay overlay = { base, g_array_new(FALSE, FALSE, sizeof(struct tree_change)) };
    g_array_set_clear_func(overlay.changes, clear_change);
    tree_walk(laid_out, note_overlay, &overlay);
    struct tree *after = tree_apply(base, (const struct tree_change *)(void *)overlay.changes->data,
                                    overlay.changes->len, error);
    g_array_unref(overlay.changes);
    return after;
}

struct rewritten {
    const struct tree *before;
    struct recorder *recorder;
};

/*
 * What was written as it was is no output, so what it was has to be on record, though nobody may
 * have read it: had it been something else, it would be one.
 */
static bool note_rewritten(const char *path, const struct tree_entry *entry, void *user)
{
    const struct rewritten *rewritten = user;
    const struct tree_entry *before = tree_lookup(rewritten->before, path);
    if (before == NULL || entry->kind == TREE_DIRECTORY || !tree_entry_equal(before, entry))
        return true;
    g_autofree char *absolute = g_strconcat("/", path, NULL);
    bool link = before->kind == TREE_SYMLINK;
    const struct sight sight = {
        .kind = link ? TRACE_LINK : TRACE_FILE,
        .mode = before->executable ? 0755 : 0644,
        .digest = link ? NULL : &before->digest,
        .target = before->target,
    };
    recorder_note(rewritten->recorder, absolute, link ? TRACE_TARGET : TRACE_CONTENT, 0, &sight);
    return true;
}

/* --- outputs ---------------------------------------------------------------------------------- */

/* Set result->deleted, and *outputs: all of `after` if outputs are declared, else the difference.
 */
static bool compare(const struct files *files, struct tree *before, struct tree *after,
                    struct result *result, struct tree **outputs, GError **error)
{
    struct changes changes = {
        .action = files->request->action,
        .present = g_array_new(FALSE, FALSE, sizeof(struct tree_change)),
        .gone = g_ptr_array_new(),
    };
    g_array_set_clear_func(changes.present, clear_change);
    tree_diff(before, after, note_change, &changes);
    g_autoptr(tree) empty = tree_empty();
    *outputs = changes.action->outputs != NULL
                   ? tree_ref(after)
                   : tree_apply(empty, (const struct tree_change *)(void *)changes.present->data,
                                changes.present->len, error);
    if (changes.gone->len > 0 && result->deleted == NULL) { /* a view has said what is gone */
        g_ptr_array_sort(changes.gone, compare_texts);
        g_ptr_array_add(changes.gone, NULL);
        result->deleted = (char **)g_ptr_array_free(g_steal_pointer(&changes.gone), FALSE);
    }
    if (changes.gone != NULL)
        g_ptr_array_free(changes.gone, TRUE);
    g_array_unref(changes.present);
    return *outputs != NULL;
}

/* A FIFO is in no tree. */
static bool selects_fifo(const struct glob *glob, const struct result *result)
{
    for (guint i = 0; i < result->extras->len; i++) {
        const struct output_extra *extra = result->extras->pdata[i];
        if (extra->fifo && glob_match(glob, extra->path, false))
            return true;
    }
    return false;
}

/* Declared outputs that nothing matched. */
static bool find_missing(const struct action *action, struct tree *outputs, struct result *result,
                         GError **error)
{
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    for (char **output = action->outputs; output != NULL && *output != NULL; output++) {
        g_autofree char *path = action_output_path(*output);
        g_autoptr(glob) one = glob_new();
        if (**output == '!' || (path != NULL && tree_lookup(outputs, path) != NULL))
            continue;
        if (!glob_add(one, "", *output, error))
            return false;
        g_autoptr(tree) matched = tree_subset(outputs, one);
        if (tree_size(matched) == 0 && !selects_fifo(one, result))
            g_ptr_array_add(missing, path != NULL ? g_steal_pointer(&path) : g_strdup(*output));
    }
    if (missing->len > 0) {
        g_ptr_array_add(missing, NULL);
        result->missing = (char **)g_ptr_array_free(g_steal_pointer(&missing), FALSE);
    }
    return true;
}

bool sandbox_collect(struct files *files, struct execution *out, GError **error)
{
    const struct action *action = files->request->action;
    g_autoptr(glob) select = NULL;
    if (action->outputs != NULL && (select = action_output_glob(action, error)) == NULL)
        return false;
    g_autoptr(tree) before =
        select == NULL ? tree_ref(files->provided) : tree_subset(files->provided, select);
    struct capture captured = { 0 };
    if (!files->separate)
        fchmod(files->work, 0755); /* `chmod 0 .` took away our own way in */
    if (!capture(files, select, &captured, error))
        return false;
    struct rewritten rewritten = { before, files->recorder };
    if (files->recorder != NULL)
        tree_walk(captured.tree, note_rewritten, &rewritten);
    g_autoptr(tree) after = files->deleted == NULL ? tree_ref(captured.tree)
                                                   : overlaid(files, before, captured.tree, error);
    bool ok = after != NULL && compare(files, before, after, out->result, &out->outputs, error) &&
              store_batch_put_tree(files->request->batch, out->outputs, error);
    if (ok) {
        out->result->outputs = *tree_digest(out->outputs);
        sandbox_note_extras(files, out->outputs, captured.unsupported, out->result);
        ok = find_missing(action, out->outputs, out->result, error);
    }
    capture_clear(&captured);
    return ok;
}

void sandbox_files_clear(struct files *files)
{
    g_clear_pointer(&files->provided, tree_unref);
    g_clear_pointer(&files->deleted, g_ptr_array_unref);
    g_clear_pointer(&files->known, stat_cache_free);
    g_clear_pointer(&files->modes, g_hash_table_unref);
}
