// SPDX-License-Identifier: Apache-2.0
/* Nodes and their names: what is known of the tree, and where each piece of it lies below. */
#include "view/view-internal.h"

#include "base/fd.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

gint64 view_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* the clock of the times of files in scratch/ */
    return fd_nanoseconds(now);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static guint64 slots_add(struct slots *slots, void *item)
{
    if (slots->free->len > 0) {
        guint64 id = g_array_index(slots->free, guint64, slots->free->len - 1);
        g_array_set_size(slots->free, slots->free->len - 1);
        slots->items->pdata[id - 1] = item;
        return id;
    }
    g_ptr_array_add(slots->items, item);
    return slots->items->len;
}

static void *slots_get(const struct slots *slots, guint64 id)
{
    return id == 0 || id > slots->items->len ? NULL : slots->items->pdata[id - 1];
}

static void slots_remove(struct slots *slots, guint64 id)
{
    slots->items->pdata[id - 1] = NULL;
    g_array_append_val(slots->free, id);
}

struct node *node_get(struct view *view, guint64 id)
{
    return slots_get(&view->nodes, id);
}

struct handle *handle_get(struct view *view, guint64 id)
{
    return slots_get(&view->handles, id);
}

struct handle *handle_new(struct view *view, struct node *node, guint32 flags)
{
    struct handle *handle = g_new0(struct handle, 1);
    handle->node = node;
    handle->flags = flags;
    handle->descriptor = -1;
    handle->id = slots_add(&view->handles, handle);
    handle->next = node->handles;
    handle->link = &node->handles;
    if (node->handles != NULL)
        node->handles->link = &handle->next;
    node->handles = handle;
    return handle;
}

static void handle_free(struct view *view, struct handle *handle)
{
    *handle->link = handle->next;
    if (handle->next != NULL)
        handle->next->link = handle->link;
    slots_remove(&view->handles, handle->id);
    fd_close(&handle->descriptor);
    g_free(handle->diversion);
    if (handle->listing != NULL)
        g_ptr_array_unref(handle->listing);
    g_free(handle);
}

void handle_release(struct view *view, struct handle *handle)
{
    struct node *node = handle->node;
    node->cached -= handle->kind == HANDLE_CACHED;
    node->passed -= handle->kind == HANDLE_PASSED;
    if (handle->kind == HANDLE_PASSED)
        g_cond_broadcast(&view->released);
    handle_free(view, handle);
    node_settle(view, node);
}

/* Below 2^32, for programs with a 32-bit ino_t. No number is given twice. */
static guint64 choose_number(struct view *view, const char *key, size_t size, guint64 seed)
{
    guint64 number = XXH3_64bits_withSeed(key, size, seed) & 0xffffffff;
    while (number < 2 || !g_hash_table_add(view->inodes, GSIZE_TO_POINTER(number)))
        number = (number + 1) & 0xffffffff;
    return number;
}

/*
 * From the path and how often something was made there, so that it depends neither on who came
 * first nor on when the kernel forgets what was removed. A number that a listing has told is kept
 * for the node; but a file with several names below has the number of the one that is asked for
 * first, whatever a listing says of the others: telling them apart would take a look at each.
 */
guint64 number_for(struct view *view, struct entry *entry)
{
    guint64 number = entry->ino;
    entry->ino = 0;
    if (number != 0)
        return number;
    g_autoptr(GString) path = g_string_new(NULL);
    if (!entry_path(entry->directory, entry->name, path))
        g_string_append(path, entry->name);
    return choose_number(view, path->str, path->len, entry->made++);
}

guint64 number_for_nameless(struct view *view, guint64 count)
{
    return choose_number(view, "", 0, count);
}

/* --- life ------------------------------------------------------------------------------------- */

struct node *node_new(struct view *view, guint32 mode)
{
    struct node *node = g_new0(struct node, 1);
    node->mode = mode;
    node->uid = view->owner;
    node->gid = view->group;
    node->id = slots_add(&view->nodes, node);
    node->atime = node->mtime = node->ctime = view_now();
    node->epoch = node->written = view->epoch;
    node->writer = view->writer;
    node->touched = true;
    if (S_ISDIR(mode))
        node->children = g_hash_table_new(g_str_hash, g_str_equal);
    return node;
}

static void free_entry(gpointer name, gpointer value, gpointer user)
{
    entry_forget_versions(value);
    g_free(value);
}

void node_free(struct view *view, struct node *node)
{
    if (node == NULL)
        return;
    while (node->handles != NULL)
        handle_free(view, node->handles);
    data_drop(view, node);
    node_forget_versions(view, node);
    if (node->children != NULL) {
        g_hash_table_foreach(node->children, free_entry, NULL);
        g_hash_table_unref(node->children);
    }
    if (g_hash_table_lookup(view->links, node) == node)
        g_hash_table_remove(view->links, node);
    slots_remove(&view->nodes, node->id);
    g_clear_pointer(&node->xattrs, g_hash_table_unref);
    g_free(node->xattrs_below);
    g_free(node->origin);
    g_free(node->target);
    g_free(node);
}

/* One with names left below, which nobody has asked for yet, is what those will lead to. */
void node_settle(struct view *view, struct node *node)
{
    if (node->lookups == 0 && node->names == NULL && node->nlink == 0 && node->handles == NULL &&
        node->pins == 0)
        node_free(view, node);
}

void node_forget(struct view *view, struct node *node, guint64 count)
{
    node->lookups -= MIN(count, node->lookups);
    node_settle(view, node);
}

/* --- paths ------------------------------------------------------------------------------------ */

void node_below(const struct node *node, GString *out)
{
    if (node->origin != NULL) {
        g_string_append(out, node->origin);
        return;
    }
    if (node->names == NULL)
        return; /* the root */
    node_below(node->names->directory, out);
    if (out->len > 0)
        g_string_append_c(out, '/');
    g_string_append(out, node->names->name);
}

bool node_path(const struct node *node, GString *out)
{
    if (node->names != NULL)
        return entry_path(node->names->directory, node->names->name, out);
    return node->id == FUSE_ROOT_ID;
}

bool entry_path(const struct node *directory, const char *name, GString *out)
{
    if (!node_path(directory, out))
        return false;
    g_string_append_c(out, '/');
    g_string_append(out, name);
    return true;
}

/* --- names ------------------------------------------------------------------------------------ */

struct entry *entry_get(struct node *directory, const char *name)
{
    struct entry *entry = g_hash_table_lookup(directory->children, name);
    if (entry != NULL)
        return entry;
    size_t size = strlen(name) + 1;
    entry = g_malloc0(sizeof *entry + size);
    entry->directory = directory;
    memcpy(entry->name, name, size);
    g_hash_table_insert(directory->children, entry->name, entry);
    return entry;
}

/* The node keeps its place below, which its names may no longer tell. */
static void pin_origin(struct node *node)
{
    if (!node->below || node->origin != NULL || node->names == NULL)
        return;
    g_autoptr(GString) place = g_string_new(NULL);
    node_below(node, place);
    node->origin = g_string_free(g_steal_pointer(&place), FALSE);
}

void entry_attach(struct entry *entry, struct node *node)
{
    pin_origin(node);
    entry->state = ENTRY_PRESENT;
    entry->node = node;
    entry->next = node->names;
    node->names = entry;
}

struct node *entry_detach(struct view *view, struct entry *entry)
{
    struct node *node = entry->node;
    pin_origin(node);
    for (struct entry **link = &node->names; *link != NULL; link = &(*link)->next)
        if (*link == entry) {
            *link = entry->next;
            break;
        }
    entry->node = NULL;
    entry->next = NULL;
    entry->state = ENTRY_ABSENT;
    entry->changed = true;
    return node;
}

/* --- what lies below -------------------------------------------------------------------------- */

static guint links_hash(gconstpointer data)
{
    const struct node *node = data;
    return (guint)(node->stamp.inode ^ node->stamp.device << 7);
}

static gboolean links_equal(gconstpointer a, gconstpointer b)
{
    const struct node *one = a, *other = b;
    return one->stamp.inode == other->stamp.inode && one->stamp.device == other->stamp.device;
}

GHashTable *links_new(void)
{
    return g_hash_table_new(links_hash, links_equal);
}

static void copy_status(struct view *view, struct node *node, const struct below_file *file)
{
    const struct stat *status = &file->status;
    bool exact = S_ISREG(status->st_mode) || (file->timed && view->recorder == NULL);
    node->epoch = node->written = 0;
    node->touched = false;
    node->content = file->content;
    node->below = true;
    node->stamp = file->stamp;
    node->mode_below = status->st_mode;
    node->links_below = (guint32)status->st_nlink;
    node->nlink = S_ISDIR(status->st_mode) ? 1 : (guint32)status->st_nlink;
    node->mtime = exact ? fd_nanoseconds(status->st_mtim) : VIEW_OLD_TIME;
    node->atime = file->timed && exact ? fd_nanoseconds(status->st_atim) : node->mtime;
    node->ctime = file->timed && exact ? fd_nanoseconds(status->st_ctim) : node->mtime;
    node->clocked = file->timed;
    node->uid = file->owned ? status->st_uid : node->uid;
    node->gid = file->owned ? status->st_gid : node->gid;
    node->size = (guint64)status->st_size;
    node->blocks = (guint64)status->st_blocks;
    node->data = S_ISREG(status->st_mode) ? DATA_BELOW : DATA_NONE;
}

/* The node of what is found below; a file with several names there is one node. */
static struct node *node_from_below(struct view *view, struct entry *entry,
                                    const struct below_file *file)
{
    const struct stat *status = &file->status;
    bool several = !S_ISDIR(status->st_mode) && status->st_nlink > 1;
    const struct node key = { .stamp = file->stamp };
    struct node *node = several ? g_hash_table_lookup(view->links, &key) : NULL;
    if (node == NULL) {
        node = node_new(view, status->st_mode);
        copy_status(view, node, file);
        node->ino = file->ino != 0 ? file->ino : number_for(view, entry);
        g_hash_table_add(view->inodes, GSIZE_TO_POINTER(node->ino));
        if (several)
            g_hash_table_add(view->links, node);
    }
    return node;
}

static int ask_below(struct view *view, struct entry *entry)
{
    struct below_file file = { 0 };
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(entry->directory, path);
    if (path->len > 0)
        g_string_append_c(path, '/');
    g_string_append(path, entry->name);
    int rc = view->below->operations->look(view->below, path->str, &file);
    if (rc == -ENOENT || rc == -ENOTDIR) {
        if (entry->state == ENTRY_UNSEEN)
            observe_vanished(view, entry);
        entry->state = ENTRY_ABSENT;
        entry->made = file.made;
        return 0;
    }
    if (rc < 0)
        return rc;
    entry->below = true;
    entry->kind = file.status.st_mode & S_IFMT;
    entry_attach(entry, node_from_below(view, entry, &file));
    return 0;
}

int entry_find(struct view *view, struct node *directory, const char *name, struct entry **out)
{
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (!S_ISDIR(directory->mode))
        return -ENOTDIR;
    *out = g_hash_table_lookup(directory->children, name);
    if (*out != NULL && (*out)->state != ENTRY_UNSEEN)
        return 0;
    bool known = *out == NULL && (!directory->below || directory->listed);
    if (*out == NULL)
        *out = entry_get(directory, name);
    return known ? 0 : ask_below(view, *out);
}

static void note_below(const char *name, guint32 kind, guint64 ino, void *user)
{
    struct node *directory = user;
    struct entry *entry = g_hash_table_lookup(directory->children, name);
    if (entry != NULL)
        return; /* asked for or changed before: that holds */
    entry = entry_get(directory, name);
    entry->state = ENTRY_UNSEEN;
    entry->below = true;
    entry->kind = kind;
    entry->ino = ino;
}

int directory_list(struct view *view, struct node *directory)
{
    if (directory->listed || !directory->below)
        return 0;
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(directory, path);
    int rc = view->below->operations->list(view->below, path->str, note_below, directory);
    directory->listed = rc == 0;
    return rc;
}

bool directory_is_empty(const struct node *directory)
{
    GHashTableIter iterator;
    gpointer entry;
    g_hash_table_iter_init(&iterator, directory->children);
    while (g_hash_table_iter_next(&iterator, NULL, &entry))
        if (((const struct entry *)entry)->state != ENTRY_ABSENT)
            return false;
    return true;
}

void node_drop_privileges(struct node *node)
{
    node->mode &= ~(guint32)S_ISUID;
    if ((node->mode & S_IXGRP) != 0)
        node->mode &= ~(guint32)S_ISGID;
}

struct node *node_root(struct view *view)
{
    struct below_file file = { .status = { .st_mode = S_IFDIR | 0755 } };
    view->below->operations->look(view->below, "", &file);
    struct node *node = node_new(view, file.status.st_mode);
    copy_status(view, node, &file);
    node->ino = number_for_nameless(view, 0);
    return node;
}

/* --- attributes ------------------------------------------------------------------------------- */

int node_read_target(struct view *view, struct node *node)
{
    if (node->target != NULL)
        return 0;
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    return view->below->operations->read_link(view->below, path->str, &node->target);
}

void node_clock(struct view *view, struct node *node)
{
    if (node->clocked || node->timed || node->data != DATA_BELOW)
        return;
    node->clocked = true;
    g_autoptr(GString) path = g_string_new(NULL);
    node_below(node, path);
    gint64 time = view->below->operations->clock(view->below, path->str);
    if (time != 0)
        node->mtime = node->atime = node->ctime = time;
}

static void put_time(guint64 *seconds, guint32 *nanoseconds, gint64 time)
{
    struct timespec parts = fd_timespec(time);
    *seconds = (guint64)parts.tv_sec;
    *nanoseconds = (guint32)parts.tv_nsec;
}

/* What lies in scratch/ may have been written without our knowing. */
static void look_at_scratch(struct view *view, struct node *node)
{
    char name[24];
    struct stat status;
    g_snprintf(name, sizeof name, "%" G_GINT64_MODIFIER "x", node->scratch);
    if (fstatat(view->scratch, name, &status, 0) < 0)
        return;
    node->size = (guint64)status.st_size;
    node->blocks = (guint64)status.st_blocks;
    node->mtime = fd_nanoseconds(status.st_mtim);
    node->atime = fd_nanoseconds(status.st_atim);
    node->ctime = MAX(node->ctime, fd_nanoseconds(status.st_ctim));
}

/*
 * How many blocks a file takes is the file system's business and differs from machine to machine;
 * only that a file has holes shows.
 */
static guint64 shown_blocks(const struct node *node)
{
    guint64 full = (node->size + VIEW_BLOCK - 1) / VIEW_BLOCK * (VIEW_BLOCK / 512);
    return MIN(full, node->blocks);
}

/* That a file below has several names is on record, how many is not: all count as one more. */
static guint32 shown_links(const struct view *view, const struct node *node)
{
    guint32 more = node->links_below > 2 ? node->links_below - 2 : 0;
    if (view->recorder == NULL || !S_ISREG(node->mode_below) || more == 0 || node->nlink < 2)
        return node->nlink;
    return node->nlink > more + 2 ? node->nlink - more : 2;
}

void node_attributes(struct view *view, struct node *node, struct fuse_attr *out)
{
    *out = (struct fuse_attr){ 0 };
    if (node->data == DATA_SCRATCH)
        look_at_scratch(view, node);
    out->ino = node->ino;
    out->mode = node->mode;
    out->nlink = shown_links(view, node);
    out->uid = node->uid;
    out->gid = node->gid;
    out->rdev = node->rdev;
    out->blksize = VIEW_BLOCK;
    out->size = node->size;
    if (S_ISDIR(node->mode)) {
        out->size = VIEW_BLOCK;
        out->blocks = VIEW_BLOCK / 512;
    } else if (S_ISREG(node->mode)) {
        out->blocks = shown_blocks(node);
    } else if (node->target != NULL) {
        out->size = strlen(node->target);
    }
    put_time(&out->atime, &out->atimensec, node->atime);
    put_time(&out->mtime, &out->mtimensec, node->mtime);
    put_time(&out->ctime, &out->ctimensec, node->ctime);
}
