// SPDX-License-Identifier: Apache-2.0
/*
 * The walk: which thread looks at what, and how trees and records are made from below.
 *
 * The work of a crew. An item is a *part* of a directory: to list it, or, where that found too much
 * for one thread, some of its entries. Each opens the directory anew by its path, so that no more
 * descriptors are open than two a thread, however wide or deep the tree. The part that ends last
 * makes the directory's tree and its record, and with that may end the directory above.
 *
 * Who may touch a node: the thread that lists it, alone; then each part its own entries, and each
 * child's last thread the one entry of the child; then the last of all these, alone (`pending`).
 */
#include "store/capture-walk.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Entries that one part looks at: some 0.3 ms if all are in the cache. */
#define PART_ENTRIES 512
#define PROGRESS_MICROSECONDS 250000

struct part {
    struct crew_item item; /* first */
    struct node *node;
    guint from, to;
    bool list, deferred;
};

/* Under the lock: add up, and say how far we are. */
static void account(struct walk *walk, const struct capture *tally)
{
    pthread_mutex_lock(&walk->lock);
    struct capture *sum = &walk->sum;
    sum->files += tally->files;
    sum->files_hashed += tally->files_hashed;
    sum->bytes_hashed += tally->bytes_hashed;
    sum->newest = MAX(sum->newest, tally->newest);
    if (walk->request->progress != NULL) {
        gint64 now = g_get_monotonic_time();
        if (now - walk->reported >= PROGRESS_MICROSECONDS) {
            walk->reported = now;
            walk->request->progress(sum->files, sum->bytes_hashed, walk->request->user);
        }
    }
    pthread_mutex_unlock(&walk->lock);
}

/* --- parts and nodes -------------------------------------------------------------------------- */

static void push_part(struct crew *crew, const struct part *part)
{
    struct part *made = g_new(struct part, 1);
    *made = *part;
    g_atomic_int_inc(&part->node->pending);
    crew_push(crew, &made->item);
}

static struct node *add_node(struct walk *walk, struct node *parent, guint index)
{
    struct node *node = g_new0(struct node, 1);
    node->parent = parent;
    node->index = index;
    node->path =
        parent == NULL ? g_strdup("") : path_join(parent->path, parent->entries[index].tree.name);
    pthread_mutex_lock(&walk->lock);
    node->next = walk->nodes;
    walk->nodes = node;
    pthread_mutex_unlock(&walk->lock);
    return node;
}

/* What only the making of the tree needs; a big walk should not hold it to the end. */
static void release_node(struct node *node)
{
    for (guint i = 0; i < node->count; i++) {
        struct tree_entry *entry = &node->entries[i].tree;
        tree_unref(entry->directory);
        if (node->entries[i].owns_target)
            g_free((char *)entry->target);
    }
    g_clear_pointer(&node->entries, g_free);
    node->count = 0;
    g_slist_free_full(g_steal_pointer(&node->names), g_free);
    g_clear_pointer(&node->record, g_bytes_unref);
    g_clear_pointer(&node->path, g_free);
}

static void free_nodes(struct walk *walk)
{
    while (walk->nodes != NULL) {
        struct node *node = walk->nodes;
        walk->nodes = node->next;
        release_node(node);
        tree_unref(node->tree);
        g_free(node);
    }
}

bool walk_unsupported(struct walk *walk, const struct node *node, const char *name, GError **error,
                      enum fault code, const char *why)
{
    g_autofree char *path = walk->request->outputs
                                ? capture_quote("", node->path, name)
                                : capture_quote(walk->request->name, node->path, name);
    if (!walk->request->outputs)
        return fault_set(error, code, "%s %s", path, why);
    pthread_mutex_lock(&walk->lock);
    g_ptr_array_add(walk->sum.unsupported, g_strconcat(path, ": ", why, NULL));
    pthread_mutex_unlock(&walk->lock);
    return true;
}

void walk_fifo(struct walk *walk, const struct node *node, const char *name)
{
    pthread_mutex_lock(&walk->lock);
    g_ptr_array_add(walk->sum.fifos, path_join(node->path, name));
    pthread_mutex_unlock(&walk->lock);
}

/* --- from entries to trees -------------------------------------------------------------------- */

/*
 * Is every entry in the tree, and are all of them what the record says? Then so is the digest. What
 * is known of the entries becomes what the next record shall say; *complete: of all of them.
 */
static bool compare_to_record(struct node *node, bool *complete)
{
    bool same = node->header.digested && node->header.count == node->count && node->learned == 0;
    *complete = true;
    for (guint i = 0; i < node->count; i++) {
        struct entry *entry = &node->entries[i];
        struct stat_entry *known = &entry->known;
        if (entry->tree.directory != NULL) {
            const struct digest *digest = tree_digest(entry->tree.directory);
            same = same && known->kind == STAT_DIRECTORY && known->identity.size == digest->size &&
                   memcmp(known->hash, digest->hash, DIGEST_HASH_SIZE) == 0;
            *known = (struct stat_entry){ .name = entry->tree.name,
                                          .kind = STAT_DIRECTORY,
                                          .identity.size = digest->size,
                                          .hash = digest->hash };
        } else if (entry->state != ENTRY_DONE || known->kind == STAT_NONE) {
            *complete = false;
        }
    }
    return same && *complete;
}

static void record_node(struct walk *walk, const struct node *node, bool complete)
{
    struct stat_header header = {
        .listed = node->listable,
        .digested = complete,
        .boot = stat_boot(),
        .recorded = stat_now(),
        .mtime = node->identity.mtime,
        .ctime = node->identity.ctime,
        .count = node->count,
    };
    if (complete)
        header.digest = *tree_digest(node->tree);
    GByteArray *record = stat_record_new(&header);
    for (guint i = 0; i < node->count; i++) {
        const struct entry *entry = &node->entries[i];
        const struct stat_entry other = { .name = entry->tree.name, .kind = STAT_OTHER };
        bool keep = entry->known.kind != STAT_NONE;
        /* A file left out may keep what was known of it: that is compared when it is wanted. A link
         * in an unchanged directory is not even looked at, so it must have been, this time. */
        if (entry->known.kind == STAT_LINK)
            keep = entry->state == ENTRY_DONE || node->from_record;
        stat_record_add(record, keep ? &entry->known : &other);
    }
    stat_cache_put(walk->request->cache, node->device, node->identity.inode, record);
}

static bool make_tree(struct walk *walk, struct node *node, GError **error)
{
    g_autofree struct tree_entry *entries = g_new(struct tree_entry, node->count);
    size_t count = 0;
    for (guint i = 0; i < node->count; i++)
        if (node->entries[i].state == ENTRY_DONE || node->entries[i].tree.directory != NULL)
            entries[count++] = node->entries[i].tree;
    bool complete;
    bool same = compare_to_record(node, &complete);
    node->tree = same ? tree_new_known(entries, count, &node->header.digest, error)
                      : tree_new(entries, count, error);
    if (node->tree == NULL) {
        g_autofree char *path = capture_quote(walk->request->name, node->path, "");
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    if (walk->request->cache != NULL &&
        (node->learned != 0 || (complete && !same) || (node->listable && !node->from_record)))
        record_node(walk, node, complete);
    return true;
}

/* A directory is complete: put it into the one above, unless nothing of it is wanted. */
static bool attach(struct walk *walk, struct node *node, GError **error)
{
    struct entry *entry = &node->parent->entries[node->index];
    if (node->gone || (tree_size(node->tree) == 0 && !entry->selected))
        return true;
    if (!path_is_name(entry->tree.name))
        return walk_unsupported(walk, node->parent, entry->tree.name, error, FAULT_UNSUPPORTED,
                                "has a name that is not UTF-8");
    entry->tree.directory = g_steal_pointer(&node->tree);
    return true;
}

static bool end_part(struct walk *walk, struct node *node, GError **error)
{
    while (g_atomic_int_dec_and_test(&node->pending)) {
        if (!node->gone && !make_tree(walk, node, error))
            return false;
        release_node(node);
        if (node->parent == NULL)
            break;
        if (!attach(walk, node, error))
            return false;
        g_clear_pointer(&node->tree, tree_unref);
        node = node->parent;
    }
    return true;
}

/* --- doing a part ----------------------------------------------------------------------------- */

/* One that has vanished since its parent was listed was never there. */
static bool fail_to_open(struct walk *walk, const struct part *part, GError **error)
{
    int number = errno;
    struct node *node = part->node;
    bool refused = number == EACCES || number == EPERM;
    if (node->parent != NULL && part->list &&
        (number == ENOENT || (refused && walk->request->outputs))) {
        node->gone = true;
        return !refused || walk_unsupported(walk, node, "", error, FAULT_IO, g_strerror(number));
    }
    g_autofree char *path = capture_quote(walk->request->name, node->path, "");
    if (node->parent != NULL && (number == ENOENT || number == ENOTDIR || number == ELOOP))
        return fault_set(error, FAULT_CHANGED, "%s was replaced while it was captured", path);
    return fault_errno(error, number, "cannot open the directory %s", path);
}

/* To list it: take down what it is. Later parts: is what was opened the same? */
static bool identify(struct walk *walk, const struct part *part, int directory, gint64 began,
                     GError **error)
{
    struct node *node = part->node;
    struct stat status;
    g_autofree char *path = NULL;
    if (fstat(directory, &status) < 0) {
        path = capture_quote(walk->request->name, node->path, "");
        return fault_errno(error, errno, "cannot look at %s", path);
    }
    if (part->list) {
        node->device = status.st_dev;
        stat_identify(&status, &node->identity);
        node->clock = status.st_dev == walk->device ? walk->clock : stat_clock(directory);
        node->listable =
            node->clock.listings && !stat_is_racy(&node->identity, began, &node->clock);
        return true;
    }
    if (node->device == status.st_dev && node->identity.inode == status.st_ino)
        return true;
    path = capture_quote(walk->request->name, node->path, "");
    return fault_set(error, FAULT_CHANGED, "%s was replaced while it was captured", path);
}

/* The directories among the entries, and what is too much for this part. */
static void share_entries(struct walk *walk, struct crew *crew, struct part *part)
{
    struct node *node = part->node;
    for (guint i = 0; i < node->count; i++) {
        if (node->entries[i].state != ENTRY_DESCEND)
            continue;
        struct node *child = add_node(walk, node, i);
        g_atomic_int_inc(&node->pending);
        push_part(crew, &(struct part){ .node = child, .list = true });
    }
    part->to = MIN(node->count, PART_ENTRIES);
    for (guint i = PART_ENTRIES; i < node->count; i += PART_ENTRIES)
        push_part(crew, &(struct part){
                            .node = node, .from = i, .to = MIN(node->count, i + PART_ENTRIES) });
}

static bool do_entries(struct walk *walk, struct crew *crew, const struct part *part, int directory,
                       struct scratch *scratch, GError **error)
{
    struct node *node = part->node;
    struct capture tally = { 0 };
    struct reading reading = { walk, crew, node, directory, scratch, &tally, !part->deferred };
    bool ok = true;
    for (guint i = part->from; ok && i < part->to && !crew_stopped(crew); i++) {
        if (node->entries[i].state != ENTRY_WANTED)
            continue;
        ok = capture_entry(&reading, &node->entries[i], error);
        if (ok && node->entries[i].state == ENTRY_WANTED)
            push_part(crew,
                      &(struct part){ .node = node, .from = i, .to = i + 1, .deferred = true });
    }
    account(walk, &tally);
    return ok;
}

static bool do_part(struct walk *walk, struct crew *crew, struct part *part,
                    struct scratch *scratch, GError **error)
{
    struct node *node = part->node;
    gint64 began = stat_now();
    autofd int directory =
        capture_open(walk->request->directory, node->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (directory < 0)
        return fail_to_open(walk, part, error);
    if (!identify(walk, part, directory, began, error))
        return false;
    if (part->list) {
        if (!capture_list(walk, node, directory, scratch, error))
            return false;
        share_entries(walk, crew, part);
    }
    return do_entries(walk, crew, part, directory, scratch, error);
}

static void work(struct crew *crew, struct crew_item *item, void *scratch, void *user)
{
    g_autofree struct part *part = (struct part *)item;
    struct walk *walk = user;
    g_autoptr(GError) error = NULL;
    if (crew_stopped(crew))
        return;
    if (!do_part(walk, crew, part, scratch, &error) || !end_part(walk, part->node, &error))
        crew_fail(crew, g_steal_pointer(&error));
}

/* --- the whole -------------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void capture_clear(struct capture *capture)
{
    g_clear_pointer(&capture->tree, tree_unref);
    g_clear_pointer(&capture->unsupported, g_ptr_array_unref);
    g_clear_pointer(&capture->fifos, g_ptr_array_unref);
}

static bool capture_once(struct store *store, const struct capture_request *request, bool trusting,
                         struct capture *out, GError **error)
{
    struct walk walk = { .request = request, .store = store, .trusting = trusting };
    struct stat status;
    if (fstat(request->directory, &status) == 0) {
        walk.device = status.st_dev;
        walk.clock = stat_clock(request->directory);
    }
    pthread_mutex_init(&walk.lock, NULL);
    if (request->outputs)
        walk.sum.unsupported = g_ptr_array_new_with_free_func(g_free);
    if (request->fifos)
        walk.sum.fifos = g_ptr_array_new_with_free_func(g_free);
    struct node *root = add_node(&walk, NULL, 0);
    struct part *first = g_new(struct part, 1);
    root->pending = 1;
    *first = (struct part){ .node = root, .list = true };
    bool ok = crew_run(request->jobs, sizeof(struct scratch), request->cancel, work, &walk,
                       &first->item, error);
    walk.sum.tree = g_steal_pointer(&root->tree);
    free_nodes(&walk);
    pthread_mutex_destroy(&walk.lock);
    if (!ok) {
        capture_clear(&walk.sum);
        return false;
    }
    if (walk.sum.unsupported != NULL)
        g_ptr_array_sort(walk.sum.unsupported, compare_texts);
    if (walk.sum.fifos != NULL)
        g_ptr_array_sort(walk.sum.fifos, compare_texts);
    *out = walk.sum;
    return true;
}

/*
 * Whether the store holds what the cache knows is asked only when all is captured, of all at once.
 * If something is missing, which is rare, the next walk asks for each and reads what is not there.
 */
bool store_capture(struct store *store, const struct capture_request *request, struct capture *out,
                   GError **error)
{
    struct store_batch *batch = request->batch;
    bool ok = capture_once(store, request, true, out, error);
    if (ok && batch != NULL && !store_batch_count_on(batch, out->tree)) {
        capture_clear(out);
        ok = capture_once(store, request, false, out, error);
    }
    if (!ok || batch == NULL || store_batch_put_tree(batch, out->tree, error))
        return ok;
    capture_clear(out);
    return false;
}
