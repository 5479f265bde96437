// SPDX-License-Identifier: Apache-2.0
/* The mark phase of collection: which records stay, and which blobs they keep. */
#include "store/store-internal.h"

#include "base/wire.h"

static void record_free(void *data)
{
    struct store_mark_record *record = data;
    g_bytes_unref(record->key);
    g_clear_pointer(&record->reference.blobs, g_array_unref);
    g_clear_pointer(&record->reference.trees, g_array_unref);
    g_clear_pointer(&record->reference.directories, g_array_unref);
    g_free(record);
}

void store_mark_init(struct store_mark *mark, const struct store_mark_source *from,
                     store_describe describe, void *user)
{
    *mark = (struct store_mark){
        .from = *from,
        .describe = describe,
        .user = user,
        .records = g_ptr_array_new_with_free_func(record_free),
        .evicted = g_ptr_array_new_with_free_func(record_free),
        .kept = g_hash_table_new_full(digest_hash, digest_hash_equal, g_free, NULL),
    };
}

void store_mark_release(struct store_mark *mark)
{
    g_ptr_array_unref(mark->records);
    g_ptr_array_unref(mark->evicted);
    g_hash_table_unref(mark->kept);
}

void store_mark_add(struct store_mark *mark, enum store_table table, GBytes *key, GBytes *value)
{
    struct store_mark_record *record = g_new0(struct store_mark_record, 1);
    record->table = table;
    record->key = g_bytes_ref(key);
    record->reference = (struct store_reference){
        .blobs = g_array_new(FALSE, FALSE, sizeof(struct digest)),
        .trees = g_array_new(FALSE, FALSE, sizeof(struct digest)),
        .directories = g_array_new(FALSE, FALSE, sizeof(struct digest)),
        .read = mark->from.read,
        .source = mark->from.source,
    };
    bool sound = value != NULL && mark->describe(table, key, value, &record->reference, mark->user);
    g_ptr_array_add(sound ? mark->records : mark->evicted, record);
}

/*
 * How a digest is kept, each including those before. A blob may later turn out to be a directory as
 * well, and is then followed.
 */
enum {
    NOT_KEPT = 0,
    KEPT = 1,
    KEPT_WITH_DIRECTORIES = 2, /* and all directories below */
    KEPT_WITH_FILES = 3,       /* and all that is below */
};

/* What one record would add to the kept set. */
struct claimed {
    struct store_mark *mark;
    GHashTable *new; /* struct digest * -> one of the above */
    guint64 bytes;
};

/* Returns whether it is there and was not kept this way before. */
static bool claim_blob(struct claimed *claimed, const struct digest *digest, guint how)
{
    guint before = MAX(GPOINTER_TO_UINT(g_hash_table_lookup(claimed->mark->kept, digest)),
                       GPOINTER_TO_UINT(g_hash_table_lookup(claimed->new, digest)));
    if (before >= how || !claimed->mark->from.holds(digest, claimed->mark->from.source))
        return false;
    g_hash_table_insert(claimed->new, g_memdup2(digest, sizeof *digest), GUINT_TO_POINTER(how));
    if (before == NOT_KEPT)
        claimed->bytes += (guint64)digest->size;
    return true;
}

/* The digest in a FileNode or DirectoryNode (both have it as field 2). */
static bool node_digest(const struct wire_field *node, struct digest *out)
{
    struct wire_reader reader;
    struct wire_field field;
    bool found = false;
    wire_reader_init(&reader, node->data, node->size);
    while (wire_next(&reader, &field))
        if (field.number == 2 && field.type == WIRE_BYTES)
            found = digest_decode(field.data, field.size, out);
    return found && !reader.failed;
}

/*
 * A directory that is in the set was followed when it came in, so each is read once per collection
 * however many results share it. A damaged message keeps nothing below it: whoever loads the tree
 * finds the damage too. A list of what is still to read, not recursion: depth is the data's choice.
 */
static void claim_tree(struct claimed *claimed, const struct digest *root, guint how)
{
    g_autoptr(GArray) pending = g_array_new(FALSE, FALSE, sizeof(struct digest));
    if (claim_blob(claimed, root, how))
        g_array_append_val(pending, *root);
    while (pending->len > 0) {
        struct digest next = g_array_index(pending, struct digest, pending->len - 1);
        g_array_set_size(pending, pending->len - 1);
        g_autoptr(GBytes) message = claimed->mark->from.read(&next, claimed->mark->from.source);
        if (message == NULL)
            continue;
        struct wire_reader reader;
        struct wire_field node;
        gsize size;
        const void *data = g_bytes_get_data(message, &size);
        wire_reader_init(&reader, data, size);
        while (wire_next(&reader, &node)) {
            struct digest digest;
            bool directory = node.number == 2, file = node.number == 1;
            if ((!directory && (!file || how != KEPT_WITH_FILES)) || node.type != WIRE_BYTES ||
                !node_digest(&node, &digest))
                continue;
            if (claim_blob(claimed, &digest, directory ? how : KEPT) && directory)
                g_array_append_val(pending, digest);
        }
    }
}

/*
 * Optional ones last; newest first; equal ages by key, so that the outcome depends on nothing else.
 */
static int by_age(const void *a, const void *b)
{
    const struct store_mark_record *x = *(struct store_mark_record *const *)a;
    const struct store_mark_record *y = *(struct store_mark_record *const *)b;
    if (x->reference.optional != y->reference.optional)
        return x->reference.optional ? 1 : -1;
    if (x->reference.last_use != y->reference.last_use)
        return x->reference.last_use > y->reference.last_use ? -1 : 1;
    return g_bytes_compare(x->key, y->key);
}

static bool keep(struct store_mark *mark, const struct store_mark_record *record, guint64 max_bytes)
{
    g_autoptr(GHashTable) new = g_hash_table_new_full(digest_hash, digest_hash_equal, g_free, NULL);
    struct claimed claimed = { .mark = mark, .new = new };
    const struct store_reference *named = &record->reference;
    for (guint i = 0; i < named->blobs->len; i++)
        claim_blob(&claimed, &g_array_index(named->blobs, struct digest, i), KEPT);
    for (guint i = 0; i < named->trees->len; i++)
        claim_tree(&claimed, &g_array_index(named->trees, struct digest, i), KEPT_WITH_FILES);
    for (guint i = 0; i < named->directories->len; i++)
        claim_tree(&claimed, &g_array_index(named->directories, struct digest, i),
                   KEPT_WITH_DIRECTORIES);
    if (claimed.bytes > max_bytes || mark->kept_bytes > max_bytes - claimed.bytes)
        return false;
    mark->kept_bytes += claimed.bytes;
    GHashTableIter iter;
    void *digest, *how;
    g_hash_table_iter_init(&iter, new);
    while (g_hash_table_iter_next(&iter, &digest, &how)) {
        g_hash_table_iter_steal(&iter);
        g_hash_table_insert(mark->kept, digest, how);
    }
    return true;
}

/* Of the records from `from` on that are as `optional` as this the first that fit stay, at `to`. */
static void keep_some(struct store_mark *mark, guint *from, guint *to, bool optional,
                      guint64 max_bytes)
{
    GPtrArray *records = mark->records;
    bool full = false;
    for (; *from < records->len; (*from)++) {
        struct store_mark_record *record = records->pdata[*from];
        if (record->reference.optional != optional)
            return;
        full = full || !keep(mark, record, max_bytes);
        if (full)
            g_ptr_array_add(mark->evicted, record);
        else
            records->pdata[(*to)++] = record;
    }
}

void store_mark_finish(struct store_mark *mark, guint64 max_bytes)
{
    guint from = 0, to = 0;
    g_ptr_array_sort(mark->records, by_age);
    keep_some(mark, &from, &to, false, max_bytes);
    guint64 room = MIN(max_bytes / 4, STORE_OPTIONAL_MAX);
    keep_some(mark, &from, &to, true, MIN(max_bytes, mark->kept_bytes + room));
    while (mark->records->len > to)
        g_ptr_array_steal_index(mark->records, mark->records->len - 1);
}
