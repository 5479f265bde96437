// SPDX-License-Identifier: Apache-2.0
/*
 * From the delta to files: what was written is laid out as a tree of ordinary files, in which the
 * data in scratch/ is moved rather than copied.
 *
 * Runs when nobody asks any more, so without the lock.
 */
#include "view/view-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

struct layout {
    struct view *view;
    int top;            /* where it all goes */
    GHashTable *placed; /* struct node -> path below `top` of its first name there */
    GPtrArray *deleted;
    GError **error;
};

struct place { /* a directory of the view, and where it is laid out */
    struct place *parent;
    struct node *node;
    const char *name;
    char *path;    /* relative to the top, "" for the top itself */
    int directory; /* -1: not open */
    unsigned depth;
    bool made;  /* something of it has been laid out */
    bool whole; /* it lies elsewhere than below: all of it is output */
};

static bool failed(struct layout *layout, const char *what, const char *path)
{
    int number = errno;
    g_autofree char *quoted = path_quote(path);
    return fault_errno(layout->error, number, "cannot %s the output %s", what, quoted);
}

/* --- directories ------------------------------------------------------------------------------ */

/* Deeper down, only the directory that is being filled is open. */
enum {
    OPEN_DEPTH = 64
};

static void close_deep(struct place *place)
{
    if (place->depth > OPEN_DEPTH)
        fd_close(&place->directory);
}

/* Open for us for now; its mode and time come when it is full. */
static bool open_place(struct layout *layout, struct place *place)
{
    if (place->directory >= 0)
        return true;
    if (!open_place(layout, place->parent))
        return false;
    int parent = place->parent->directory;
    if (!place->made && mkdirat(parent, place->name, 0700) < 0 && errno != EEXIST)
        return failed(layout, "make", place->path);
    place->made = true;
    place->directory = openat(parent, place->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close_deep(place->parent);
    return place->directory >= 0 || failed(layout, "open", place->path);
}

/* Those below, too, if nobody has asked for them: what is laid out takes the place of that. */
static bool write_attributes(struct layout *layout, struct node *node, int file, const char *path)
{
    GHashTableIter iterator;
    gpointer name, value;
    node_read_xattrs(layout->view, node);
    observe_attributes_kept(layout->view, node);
    g_hash_table_iter_init(&iterator, node->xattrs);
    while (g_hash_table_iter_next(&iterator, &name, &value))
        if (fsetxattr(file, name, g_bytes_get_data(value, NULL), g_bytes_get_size(value), 0) < 0)
            return failed(layout, "set the attributes of", path);
    return true;
}

static bool close_place(struct layout *layout, struct place *place)
{
    struct node *node = place->node;
    bool ok = true;
    if (place->made && place->parent != NULL) {
        struct timespec times[2];
        node_times(node, times);
        ok = open_place(layout, place) &&
             write_attributes(layout, node, place->directory, place->path) &&
             ((fchmod(place->directory, node->mode & 07777) == 0 &&
               (!node->timed || futimens(place->directory, times) == 0)) ||
              failed(layout, "set the mode of", place->path));
        if (place->parent->directory < 0)
            place->parent->directory =
                openat(place->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd_close(&place->directory);
    }
    g_free(place->path);
    return ok;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool link_placed(struct layout *layout, const char *first, struct place *place,
                        const char *name)
{
    return linkat(layout->top, first, place->directory, name, 0) == 0 ||
           failed(layout, "link", name);
}

static bool dress_file(struct layout *layout, struct node *node, int file, const char *path)
{
    return write_attributes(layout, node, file, path) &&
           (fchmod(file, node->mode & 07777) == 0 || failed(layout, "set the mode of", path));
}

/* We must be able to write to what stays a child's, and its attributes are the node's alone. */
static bool may_link(struct view *view, struct node *node)
{
    node_read_xattrs(view, node);
    return g_hash_table_size(node->xattrs) == 0 &&
           (view->privileged || (node->mode & S_IRUSR && node->mode & S_IWUSR));
}

static bool copy_data(struct layout *layout, struct node *node, struct place *place,
                      const char *name);

static bool move_data(struct layout *layout, struct node *node, struct place *place,
                      const char *name)
{
    char scratch[24];
    bool stays = layout->view->start != NULL;
    if (stays && !may_link(layout->view, node))
        return copy_data(layout, node, place, name);
    g_snprintf(scratch, sizeof scratch, "%" G_GINT64_MODIFIER "x", node->scratch);
    int from = layout->view->scratch, to = place->directory;
    if ((stays ? linkat(from, scratch, to, name, 0) : renameat(from, scratch, to, name)) < 0)
        return failed(layout, "lay out", name);
    node->scratch = stays ? node->scratch : 0;
    autofd int file = openat(place->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return file < 0 ? failed(layout, "open", name) : dress_file(layout, node, file, name);
}

static bool copy_data(struct layout *layout, struct node *node, struct place *place,
                      const char *name)
{
    struct stat status;
    autofd int from = data_open(layout->view, node, O_RDONLY);
    if (from < 0)
        errno = -from;
    if (from < 0 || fstat(from, &status) < 0)
        return failed(layout, "read what became of", name);
    autofd int to =
        openat(place->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (to < 0)
        return failed(layout, "write", name);
    if (node->data == DATA_BELOW)
        observe_kept(layout->view, node);
    node_read_xattrs(layout->view, node);
    struct timespec times[2];
    struct fuse_attr present;
    node_attributes(layout->view, node, &present); /* those of the file in scratch/ */
    node_times(node, times);
    return fd_copy(from, to, status.st_size, name, NULL, layout->error) &&
           dress_file(layout, node, to, name) &&
           (futimens(to, times) == 0 || failed(layout, "set the time of", name));
}

static bool make_special(struct layout *layout, struct node *node, struct place *place,
                         const char *name)
{
    struct timespec times[2];
    node_times(node, times);
    int rc;
    if (S_ISLNK(node->mode)) {
        node_read_target(layout->view, node);
        observe_kept(layout->view, node);
        rc = node->target == NULL ? -1 : symlinkat(node->target, place->directory, name);
    } else {
        rc = mknodat(place->directory, name, node->mode & ~(guint32)S_ISGID, 0);
        if (rc == 0)
            rc = fchmodat(place->directory, name, node->mode & 07777, 0);
    }
    if (rc == 0)
        rc = utimensat(place->directory, name, times, AT_SYMLINK_NOFOLLOW);
    return rc == 0 || failed(layout, "make", name);
}

static bool lay_out_file(struct layout *layout, struct place *place, struct entry *entry)
{
    struct node *node = entry->node;
    if (!open_place(layout, place))
        return false;
    const char *first = g_hash_table_lookup(layout->placed, node);
    if (first != NULL)
        return link_placed(layout, first, place, entry->name);
    bool ok = !S_ISREG(node->mode)         ? make_special(layout, node, place, entry->name)
              : node->data == DATA_SCRATCH ? move_data(layout, node, place, entry->name)
                                           : copy_data(layout, node, place, entry->name);
    if (ok)
        g_hash_table_insert(layout->placed, node, path_join(place->path, entry->name));
    return ok;
}

/* --- what is gone ----------------------------------------------------------------------------- */

struct gone {
    struct view *view;
    GPtrArray *deleted;
};

struct gone_directory {
    struct gone *gone;
    const char *below, *path;
};

static void list_gone(struct gone *gone, const char *below, const char *path);

static void note_gone_child(const char *name, guint32 kind, guint64 ino, void *user)
{
    const struct gone_directory *directory = user;
    g_autofree char *below = path_join(directory->below, name);
    g_autofree char *path = path_join(directory->path, name);
    if (kind == S_IFDIR)
        list_gone(directory->gone, below, path);
    else
        g_ptr_array_add(directory->gone->deleted, g_steal_pointer(&path));
}

/* A directory takes all with it that lies below it, seen or not. */
static void list_gone(struct gone *gone, const char *below, const char *path)
{
    struct below *place = gone->view->below;
    struct gone_directory directory = { gone, below, path };
    g_ptr_array_add(gone->deleted, g_strdup(path));
    place->operations->list(place, below, note_gone_child, &directory);
}

static void note_gone(struct layout *layout, struct place *place, const struct entry *entry)
{
    /* A socket is made, but nobody can keep it: what it took the place of is gone. */
    bool replaced = entry->state == ENTRY_PRESENT && !S_ISSOCK(entry->node->mode);
    bool was_directory = entry->kind == S_IFDIR;
    if (replaced && S_ISDIR(entry->node->mode) == was_directory && !was_directory)
        return; /* a file in the place of a file */
    g_autoptr(GString) below = g_string_new(NULL);
    node_below(place->node, below);
    if (below->len > 0)
        g_string_append_c(below, '/');
    g_string_append(below, entry->name);
    g_autofree char *path = path_join(place->path, entry->name);
    struct gone gone = { layout->view, layout->deleted };
    if (was_directory)
        list_gone(&gone, below->str, path);
    else if (!replaced)
        g_ptr_array_add(layout->deleted, g_steal_pointer(&path));
}

/* --- the walk --------------------------------------------------------------------------------- */

static bool lay_out_directory(struct layout *layout, struct place *place);

static bool lay_out_child(struct layout *layout, struct place *parent, struct entry *entry)
{
    struct node *node = entry->node;
    bool whole = parent->whole || entry->changed;
    if (!S_ISDIR(node->mode)) {
        bool touched = whole || node->changed || node->data == DATA_SCRATCH;
        return !touched || lay_out_file(layout, parent, entry);
    }
    struct place place = {
        .parent = parent,
        .node = node,
        .name = entry->name,
        .path = path_join(parent->path, entry->name),
        .directory = -1,
        .depth = parent->depth + 1,
        .whole = whole,
    };
    bool ok = (!whole && !node->changed) || open_place(layout, &place);
    ok = ok && lay_out_directory(layout, &place);
    return close_place(layout, &place) && ok;
}

static gint compare_entries(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool lay_out_directory(struct layout *layout, struct place *place)
{
    if (place->whole && directory_list(layout->view, place->node) < 0)
        return failed(layout, "list what became of", place->path);
    if (place->whole)
        observe_kept(layout->view, place->node);
    g_autoptr(GList) entries =
        g_list_sort(g_hash_table_get_values(place->node->children), compare_entries);
    for (const GList *at = entries; at != NULL; at = at->next) {
        struct entry *entry = at->data;
        if (entry->state == ENTRY_UNSEEN && place->whole)
            entry_find(layout->view, place->node, entry->name, &entry);
        if (entry->changed && entry->below && !place->whole)
            note_gone(layout, place, entry);
        if (entry->state == ENTRY_PRESENT && !lay_out_child(layout, place, entry))
            return false;
    }
    return true;
}

/* --- elsewhere -------------------------------------------------------------------------------- */

/* The first of what is changed in each directory will do: this is to be told, not undone. */
static void find_elsewhere(const struct node *directory, const struct node *except,
                           GPtrArray *elsewhere)
{
    g_autoptr(GList) entries =
        g_list_sort(g_hash_table_get_values(directory->children), compare_entries);
    for (const GList *at = entries; at != NULL; at = at->next) {
        const struct entry *entry = at->data;
        const struct node *node = entry->node;
        if (node == except && node != NULL)
            continue;
        bool changed = (entry->changed && (entry->below || node != NULL)) ||
                       (node != NULL && (node->changed || node->data == DATA_SCRATCH));
        if (changed) {
            GString *path = g_string_new(NULL);
            entry_path(directory, entry->name, path);
            g_ptr_array_add(elsewhere, g_string_free(path, FALSE));
        } else if (node != NULL && S_ISDIR(node->mode)) {
            find_elsewhere(node, except, elsewhere);
        }
    }
}

/* The directory that `path` leads to by what is known; NULL: nobody has been there. */
static struct node *find_known(struct view *view, const char *path)
{
    struct node *node = view->top;
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; node != NULL && *name != NULL; name++) {
        if (**name == '\0')
            continue;
        const struct entry *entry =
            node->children == NULL ? NULL : g_hash_table_lookup(node->children, *name);
        node = entry == NULL ? NULL : entry->node;
    }
    return node;
}

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool view_lay_out(struct view *view, const char *prefix, int directory, GPtrArray *deleted,
                  GPtrArray *elsewhere, GError **error)
{
    g_assert(view->latest == NULL); /* its files are moved away */
    if (g_atomic_int_get(&view->aborted))
        return fault_set(error, FAULT_SANDBOX, "the command's file system was taken away from it");
    struct node *top = find_known(view, prefix);
    g_autoptr(GHashTable) placed = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    struct layout layout = { view, directory, placed, deleted, error };
    if (elsewhere != NULL)
        find_elsewhere(view->top, top, elsewhere);
    if (top == NULL || !S_ISDIR(top->mode))
        return true;
    struct place place = { .node = top, .path = g_strdup(""), .directory = directory };
    bool ok = lay_out_directory(&layout, &place);
    g_free(place.path);
    g_ptr_array_sort(deleted, compare_texts);
    return ok;
}
