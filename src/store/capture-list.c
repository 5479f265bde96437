// SPDX-License-Identifier: Apache-2.0
/* What a directory holds: from its record if it is unchanged, else from the kernel; and selection.
 */
#include "base/fd.h"
#include "store/capture-walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct listed {
    const char *name;
    guint8 type; /* DT_* */
};

static const guint8 no_hash[DIGEST_HASH_SIZE];

/* --- from the record ---------------------------------------------------------------------------
 */

/* Only what a power loss cannot have made a lie of. */
static struct stat_entry believe(const struct stat_entry *entry, const struct stat_header *header)
{
    if (entry->kind == STAT_DIRECTORY ||
        (entry->kind != STAT_OTHER && stat_is_settled(&entry->identity, header)))
        return *entry;
    return (struct stat_entry){ .name = entry->name };
}

static bool take_record(struct node *node)
{
    struct stat_reader reader;
    struct stat_entry known;
    stat_reader_init(&reader, node->record);
    if (!node->listable || reader.failed || !reader.header.listed ||
        reader.header.mtime != node->identity.mtime || reader.header.ctime != node->identity.ctime)
        return false;
    g_autofree struct entry *entries = g_new0(struct entry, reader.header.count);
    for (guint i = 0; stat_reader_next(&reader, &known); i++) {
        entries[i].tree.name = known.name;
        entries[i].known = believe(&known, &reader.header);
        entries[i].state = known.kind == STAT_DIRECTORY ? ENTRY_DESCEND : ENTRY_WANTED;
    }
    if (reader.failed)
        return false;
    node->entries = g_steal_pointer(&entries);
    node->count = reader.header.count;
    node->header = reader.header;
    node->from_record = true;
    return true;
}

/* Two sorted lists, walked once. */
static void merge_record(struct node *node)
{
    struct stat_reader reader;
    struct stat_entry known;
    stat_reader_init(&reader, node->record);
    for (guint i = 0; i < node->count && stat_reader_next(&reader, &known);) {
        while (i < node->count && strcmp(node->entries[i].tree.name, known.name) < 0)
            i++;
        if (i == node->count || strcmp(node->entries[i].tree.name, known.name) != 0)
            continue;
        struct entry *entry = &node->entries[i++];
        if ((known.kind == STAT_DIRECTORY) == (entry->state == ENTRY_DESCEND))
            entry->known = believe(&known, &reader.header);
    }
    if (!reader.failed)
        node->header = reader.header;
}

/* --- from the kernel ---------------------------------------------------------------------------
 */

/* The names stay where the kernel put them, in a copy of the block that has the right size. */
static bool read_names(struct walk *walk, struct node *node, int directory, guint8 *block,
                       GArray *out, GError **error)
{
    for (;;) {
        ssize_t size = getdents64(directory, block, SCRATCH_SIZE);
        if (size < 0 && (errno != ENOENT || node->parent == NULL)) {
            int number = errno;
            g_autofree char *path = capture_quote(walk->request->name, node->path, "");
            return fault_errno(error, number, "cannot list %s", path);
        }
        node->gone = size < 0; /* removed since it was opened */
        if (size <= 0)
            return true;
        guint8 *kept = g_memdup2(block, (gsize)size);
        node->names = g_slist_prepend(node->names, kept);
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)(kept + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            struct listed listed = { .name = entry->d_name, .type = entry->d_type };
            g_array_append_val(out, listed);
        }
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* Some file systems do not say in the listing what an entry is. */
static bool is_directory(int directory, const struct listed *listed)
{
    struct stat status;
    if (listed->type != DT_UNKNOWN)
        return listed->type == DT_DIR;
    return fstatat(directory, listed->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static bool list(struct walk *walk, struct node *node, int directory, struct scratch *scratch,
                 GError **error)
{
    g_autoptr(GArray) listed = g_array_new(FALSE, FALSE, sizeof(struct listed));
    if (!read_names(walk, node, directory, scratch->bytes, listed, error))
        return false;
    if (listed->len > 0)
        qsort(listed->data, listed->len, sizeof(struct listed), compare_names);
    node->entries = g_new0(struct entry, listed->len);
    node->count = listed->len;
    for (guint i = 0; i < node->count; i++) {
        const struct listed *from = &g_array_index(listed, struct listed, i);
        struct entry *entry = &node->entries[i];
        entry->tree.name = from->name;
        entry->state = is_directory(directory, from) ? ENTRY_DESCEND : ENTRY_WANTED;
        if (entry->state == ENTRY_DESCEND)
            entry->known = (struct stat_entry){ from->name, STAT_DIRECTORY, .hash = no_hash };
    }
    return true;
}

/* --- selection ---------------------------------------------------------------------------------
 */

static void select_entries(const struct glob *select, struct node *node)
{
    g_autoptr(GString) path = g_string_new(node->path);
    if (path->len > 0)
        g_string_append_c(path, '/');
    gsize length = path->len;
    for (guint i = 0; i < node->count; i++) {
        struct entry *entry = &node->entries[i];
        bool descend = entry->state == ENTRY_DESCEND;
        g_string_truncate(path, length);
        g_string_append(path, entry->tree.name);
        entry->selected = glob_match(select, path->str, descend);
        if (!entry->selected && !(descend && glob_may_match_below(select, path->str)))
            entry->state = ENTRY_LEFT_OUT;
    }
}

bool capture_list(struct walk *walk, struct node *node, int directory, struct scratch *scratch,
                  GError **error)
{
    if (walk->request->cache != NULL)
        node->record = stat_cache_get(walk->request->cache, node->device, node->identity.inode);
    if (node->record == NULL || !take_record(node)) {
        if (!list(walk, node, directory, scratch, error))
            return false;
        if (node->record != NULL)
            merge_record(node);
    }
    for (guint i = 0; i < node->count; i++) {
        struct entry *entry = &node->entries[i];
        entry->tree.kind = entry->state == ENTRY_DESCEND ? TREE_DIRECTORY : TREE_FILE;
        entry->selected = true;
    }
    const struct glob *select = walk->request->select;
    node->selected_below =
        select == NULL || (node->parent != NULL && (node->parent->selected_below ||
                                                    glob_selects_below(select, node->path)));
    if (!node->selected_below)
        select_entries(select, node);
    return true;
}
