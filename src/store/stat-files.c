// SPDX-License-Identifier: Apache-2.0
/*
 * Single files of a directory through its record, for whoever asks for some files and not for a
 * tree; and listings, by the digest that their reader gives them.
 *
 * The record of a directory is shared with capture: what is learned here is put in among the
 * entries that are there. `listed` still holds then, because no entry is added to a record that is
 * so marked; `digested` does not.
 */
#include "base/fd.h"
#include "store/capture-internal.h"
#include "store/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE (64 * 1024)
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

struct fresh {
    char *name; /* owned */
    enum stat_kind kind;
    struct stat_identity identity;
    guint8 hash[DIGEST_HASH_SIZE];
};

struct stat_files {
    struct stat_cache *cache; /* NULL: nothing is known, nothing learned */
    guint64 device, inode;
    struct stat_clock clock;
    bool has_clock;
    GBytes *record; /* NULL: none */
    struct stat_reader reader;
    struct stat_entry entry; /* where the reader is; name NULL: before the first */
    GHashTable *index;       /* name -> struct stat_entry; NULL while names ascend */
    GArray *learned;         /* struct fresh; NULL: nothing */
};

static void clear_fresh(void *fresh)
{
    g_free(((struct fresh *)fresh)->name);
}

struct stat_files *stat_files_open(struct stat_cache *cache, int directory)
{
    struct stat status;
    struct stat_files *files = g_new0(struct stat_files, 1);
    if (cache == NULL || fstat(directory, &status) < 0)
        return files;
    files->cache = cache;
    files->device = status.st_dev;
    files->inode = status.st_ino;
    files->record = stat_cache_get(cache, files->device, files->inode);
    if (files->record != NULL)
        stat_reader_init(&files->reader, files->record);
    return files;
}

/* --- looking up ------------------------------------------------------------------------------- */

/* Names come in no order: from now on they are looked up. */
static void make_index(struct stat_files *files)
{
    struct stat_entry entry;
    stat_reader_init(&files->reader, files->record);
    files->index = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    while (stat_reader_next(&files->reader, &entry))
        g_hash_table_insert(files->index, (gpointer)entry.name, g_memdup2(&entry, sizeof entry));
}

/* What the record says of `name`, or NULL; without search as long as names ascend. */
static const struct stat_entry *seek(struct stat_files *files, const char *name)
{
    if (files->record == NULL)
        return NULL;
    if (files->index == NULL && files->entry.name != NULL && strcmp(files->entry.name, name) > 0)
        make_index(files);
    if (files->index != NULL)
        return g_hash_table_lookup(files->index, name);
    while (files->entry.name == NULL || strcmp(files->entry.name, name) < 0)
        if (!stat_reader_next(&files->reader, &files->entry))
            return NULL;
    return strcmp(files->entry.name, name) == 0 ? &files->entry : NULL;
}

static enum stat_kind kind_of(const struct stat *status)
{
    return (status->st_mode & S_IXUSR) != 0 ? STAT_EXECUTABLE : STAT_FILE;
}

static bool recall(struct stat_files *files, const char *name, const struct stat *status,
                   struct digest *out)
{
    struct stat_identity identity;
    const struct stat_entry *known = status->st_dev == files->device ? seek(files, name) : NULL;
    stat_identify(status, &identity);
    if (known == NULL || known->kind != kind_of(status) ||
        !stat_matches(&known->identity, &identity) ||
        !stat_is_settled(&identity, &files->reader.header))
        return false;
    memcpy(out->hash, known->hash, DIGEST_HASH_SIZE);
    out->size = status->st_size;
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum stat_outcome hash_file(const struct stat_files *files, int file, gint64 size,
                                   struct digest *out)
{
    g_autofree guint8 *block = g_malloc(BLOCK_SIZE);
    const struct pump bytes = {
        .from = file,
        .to = -1,
        .size = size,
        .what = "a file",
        .cancel = stat_cache_cancel(files->cache),
        .buffer = block,
        .buffer_size = BLOCK_SIZE,
    };
    enum pump_end end = pump_bytes(&bytes, out, NULL);
    if (end == PUMP_UNREADABLE)
        return STAT_UNREADABLE;
    return end == PUMP_DONE && out->size == size ? STAT_DIGESTED : STAT_CHANGED;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    struct stat_identity first, last;
    stat_identify(a, &first);
    stat_identify(b, &last);
    return a->st_dev == b->st_dev && a->st_mode == b->st_mode && stat_matches(&first, &last);
}

static void learn(struct stat_files *files, int file, const char *name, const struct stat *status,
                  gint64 began, const struct digest *digest)
{
    struct fresh fresh = { .kind = kind_of(status) };
    stat_identify(status, &fresh.identity);
    if (files->cache == NULL || status->st_dev != files->device ||
        !g_utf8_validate(name, -1, NULL)) /* capture believes that recorded names are */
        return;
    if (!files->has_clock)
        files->clock = stat_clock(file);
    files->has_clock = true;
    if (stat_is_racy(&fresh.identity, began, &files->clock))
        return;
    if (files->learned == NULL) {
        files->learned = g_array_new(FALSE, FALSE, sizeof fresh);
        g_array_set_clear_func(files->learned, clear_fresh);
    }
    fresh.name = g_strdup(name);
    memcpy(fresh.hash, digest->hash, DIGEST_HASH_SIZE);
    g_array_append_val(files->learned, fresh);
}

enum stat_outcome stat_files_digest(struct stat_files *files, int directory, const char *name,
                                    const struct stat *status, struct digest *out)
{
    struct stat before, after;
    if (files->cache != NULL && recall(files, name, status, out))
        return STAT_DIGESTED;
    gint64 began = stat_now();
    autofd int file = openat(directory, name, OPEN_FLAGS);
    if (file < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENXIO ? STAT_CHANGED : STAT_UNREADABLE;
    if (fstat(file, &before) < 0 || !same_file(status, &before))
        return STAT_CHANGED;
    enum stat_outcome outcome = hash_file(files, file, before.st_size, out);
    if (outcome != STAT_DIGESTED)
        return outcome;
    if (fstat(file, &after) < 0 || !same_file(&before, &after))
        return STAT_CHANGED;
    learn(files, file, name, &after, began, out);
    return STAT_DIGESTED;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* By name; of two alike the later one comes last (the sort is stable), and wins. */
static int compare_fresh(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct fresh *)a)->name, ((const struct fresh *)b)->name);
}

static struct stat_entry entry_of(const struct fresh *fresh)
{
    return (struct stat_entry){
        .name = fresh->name, .kind = fresh->kind, .identity = fresh->identity, .hash = fresh->hash
    };
}

/* What was too young to be believed after power loss would look old beside a new time. */
static struct stat_entry keep(const struct stat_entry *old, const struct stat_header *header)
{
    bool file = old->kind == STAT_FILE || old->kind == STAT_EXECUTABLE || old->kind == STAT_LINK;
    if (!file || stat_is_settled(&old->identity, header))
        return *old;
    return (struct stat_entry){ .name = old->name, .kind = STAT_OTHER };
}

/* Two sorted lists become one; NULL if the old one is malformed. */
static GArray *merge(struct stat_files *files, bool *added)
{
    g_autoptr(GArray) out = g_array_new(FALSE, FALSE, sizeof(struct stat_entry));
    struct stat_reader reader = { 0 };
    struct stat_entry old;
    guint at = 0;
    if (files->record != NULL)
        stat_reader_init(&reader, files->record);
    while (files->record != NULL && stat_reader_next(&reader, &old)) {
        struct stat_entry made = keep(&old, &reader.header);
        int order = -1;
        for (; at < files->learned->len; at++) {
            const struct fresh *fresh = &g_array_index(files->learned, struct fresh, at);
            if ((order = strcmp(fresh->name, old.name)) > 0)
                break;
            made = order == 0 ? entry_of(fresh) : made;
            if (order == 0)
                continue;
            const struct stat_entry new = entry_of(fresh);
            g_array_append_val(out, new);
            *added = true;
        }
        g_array_append_val(out, made);
    }
    for (; at < files->learned->len; at++) {
        const struct stat_entry new = entry_of(&g_array_index(files->learned, struct fresh, at));
        g_array_append_val(out, new);
        *added = true;
    }
    return reader.failed ? NULL : g_steal_pointer(&out);
}

static void forget_repeats(GArray *learned)
{
    g_array_sort(learned, compare_fresh);
    for (guint i = learned->len; i > 1; i--)
        if (compare_fresh(&g_array_index(learned, struct fresh, i - 1),
                          &g_array_index(learned, struct fresh, i - 2)) == 0)
            g_array_remove_index(learned, i - 2);
}

static void write_record(struct stat_files *files)
{
    bool added = false;
    forget_repeats(files->learned);
    g_autoptr(GArray) entries = merge(files, &added);
    if (entries == NULL) {
        g_clear_pointer(&files->record, g_bytes_unref);
        entries = merge(files, &added);
    }
    struct stat_header header = { 0 };
    if (files->record != NULL) {
        struct stat_reader reader;
        stat_reader_init(&reader, files->record);
        header = reader.header;
    }
    header.listed = header.listed && !added;
    header.mtime = header.listed ? header.mtime : 0;
    header.ctime = header.listed ? header.ctime : 0;
    header.digested = false;
    header.boot = stat_boot();
    header.recorded = stat_now();
    header.digest = (struct digest){ 0 };
    header.count = entries->len;
    GByteArray *record = stat_record_new(&header);
    for (guint i = 0; i < entries->len; i++)
        stat_record_add(record, &g_array_index(entries, struct stat_entry, i));
    stat_cache_put(files->cache, files->device, files->inode, record);
}

bool stat_files_learned(const struct stat_files *files)
{
    return files->learned != NULL;
}

void stat_files_close(struct stat_files *files)
{
    if (files == NULL)
        return;
    if (files->learned != NULL)
        write_record(files);
    g_clear_pointer(&files->learned, g_array_unref);
    g_clear_pointer(&files->index, g_hash_table_unref);
    g_clear_pointer(&files->record, g_bytes_unref);
    g_free(files);
}

/* --- listings --------------------------------------------------------------------------------- */

#define LISTING_KEY_SIZE (STAT_KEY_SIZE + 1)
#define LISTING_SIZE (3 * 8 + DIGEST_HASH_SIZE + 8)

static void listing_key(const struct stat *directory, guint8 key[LISTING_KEY_SIZE])
{
    stat_cache_key(key, directory->st_dev, directory->st_ino);
    key[STAT_KEY_SIZE] = 'n';
}

/* Run of the kernel, mtime, ctime, hash, size; little-endian. */
static void listing_record(const struct stat_identity *identity, const struct digest *digest,
                           guint8 out[LISTING_SIZE])
{
    const guint64 numbers[] = { GUINT64_TO_LE(stat_boot()), GUINT64_TO_LE(identity->mtime),
                                GUINT64_TO_LE(identity->ctime) };
    const guint64 size = GUINT64_TO_LE(digest->size);
    memcpy(out, numbers, sizeof numbers);
    memcpy(out + sizeof numbers, digest->hash, DIGEST_HASH_SIZE);
    memcpy(out + sizeof numbers + DIGEST_HASH_SIZE, &size, sizeof size);
}

bool stat_listing_recall(struct stat_cache *cache, const struct stat *directory, struct digest *out)
{
    guint8 key[LISTING_KEY_SIZE], expected[LISTING_SIZE];
    struct stat_identity identity;
    guint64 length;
    gsize size;
    listing_key(directory, key);
    g_autoptr(GBytes) record = stat_cache_get_key(cache, key, sizeof key);
    const guint8 *data = record == NULL ? NULL : g_bytes_get_data(record, &size);
    if (data == NULL || size != LISTING_SIZE || stat_boot() == 0)
        return false;
    memcpy(out->hash, data + 3 * 8, DIGEST_HASH_SIZE);
    memcpy(&length, data + 3 * 8 + DIGEST_HASH_SIZE, sizeof length);
    out->size = (gint64)GUINT64_FROM_LE(length);
    stat_identify(directory, &identity);
    listing_record(&identity, out, expected);
    return out->size >= 0 && memcmp(data, expected, LISTING_SIZE) == 0;
}

gint64 stat_listing_begin(void)
{
    return stat_now();
}

void stat_listing_remember(struct stat_cache *cache, int directory, const struct stat *before,
                           gint64 began, const struct digest *digest)
{
    guint8 key[LISTING_KEY_SIZE], record[LISTING_SIZE];
    struct stat_identity identity;
    struct stat after;
    const struct stat_clock clock = stat_clock(directory);
    stat_identify(before, &identity);
    if (!clock.listings || stat_is_racy(&identity, began, &clock) || fstat(directory, &after) < 0 ||
        !same_file(before, &after))
        return;
    listing_key(before, key);
    listing_record(&identity, digest, record);
    g_autoptr(GBytes) bytes = g_bytes_new(record, sizeof record);
    stat_cache_put_key(cache, key, sizeof key, bytes);
}
