// SPDX-License-Identifier: Apache-2.0
/* What the files of each directory hashed to when they looked as they look now, and when to believe
 * it. */
#include "base/fd.h"
#include "store/capture-internal.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

#define RECORD_VERSION 1
#define SECOND G_GINT64_CONSTANT(1000000000)

/* Not all of these are in linux/magic.h. */
#define MAGIC_CIFS 0xff534d42
#define MAGIC_EXFAT 0x2011bab0
#define MAGIC_FUSE 0x65735546
#define MAGIC_LUSTRE 0x0bd00bd0
#define MAGIC_ZFS 0x2fc12fc1

/* --- identities ------------------------------------------------------------------------------- */

void stat_identify(const struct stat *status, struct stat_identity *out)
{
    *out = (struct stat_identity){
        .inode = status->st_ino,
        .size = status->st_size,
        .mtime = fd_nanoseconds(status->st_mtim),
        .ctime = fd_nanoseconds(status->st_ctim),
    };
}

bool stat_matches(const struct stat_identity *known, const struct stat_identity *now)
{
    return known->inode == now->inode && known->size == now->size && known->mtime == now->mtime &&
           (known->ctime == now->ctime || known->ctime == STAT_CTIME_ANY);
}

/* The clock that the kernel takes the times of files from. */
gint64 stat_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return fd_nanoseconds(now);
}

bool stat_is_racy(const struct stat_identity *identity, gint64 began,
                  const struct stat_clock *clock)
{
    /* The change time is the kernel's own, so it shows how fine the file system's times are. */
    gint64 slack = identity->ctime % SECOND == 0 ? MAX(clock->slack, 2 * SECOND) : clock->slack;
    return identity->mtime >= began - slack || identity->ctime >= began - slack;
}

struct stat_clock stat_clock(int descriptor)
{
    struct timespec tick;
    clock_getres(CLOCK_REALTIME_COARSE, &tick);
    struct stat_clock clock = { .slack = 2 * fd_nanoseconds(tick) };
    struct statfs status;
    if (fstatfs(descriptor, &status) < 0)
        return clock;
    switch ((guint32)status.f_type) {
    case MSDOS_SUPER_MAGIC:
    case MAGIC_EXFAT:
        clock.slack = 2 * SECOND;
        break;
    /* Times are given by another machine, or by a program: its clock may be behind ours. */
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case MAGIC_CIFS:
    case AFS_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case NCP_SUPER_MAGIC:
    case V9FS_MAGIC:
    case MAGIC_FUSE:
    case MAGIC_LUSTRE:
        clock.slack = 60 * SECOND;
        break;
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        clock.multigrain = true; /* Linux 6.13 and later */
        clock.listings = true;
        break;
    case OVERLAYFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case MAGIC_ZFS:
        clock.listings = true;
        break;
    default:
        break;
    }
    return clock;
}

/* --- power loss --------------------------------------------------------------------------------
 */

/* By then the kernel has long written a file back (vm.dirty_expire_centisecs is 30 s). */
#define SETTLED (60 * SECOND)

static guint64 boot;

static void find_boot(void)
{
    g_autofree char *text = NULL;
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        boot = g_ascii_strtoull(text, NULL, 16) << 32 | g_str_hash(text);
}

guint64 stat_boot(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_boot);
    return boot;
}

bool stat_is_settled(const struct stat_identity *identity, const struct stat_header *header)
{
    return identity->ctime < header->recorded - SETTLED ||
           (header->boot == stat_boot() && header->boot != 0);
}

/* --- records ---------------------------------------------------------------------------------- */

#define FLAG_LISTED 1
#define FLAG_DIGESTED 2
#define HEADER_SIZE (2 + 4 * sizeof(guint64) + DIGEST_HASH_SIZE + sizeof(guint64) + sizeof(guint32))

static void put_number(GByteArray *record, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(record, (const guint8 *)&value, sizeof value);
}

static void put_string(GByteArray *record, const char *text)
{
    g_byte_array_append(record, (const guint8 *)text, (guint)strlen(text) + 1);
}

GByteArray *stat_record_new(const struct stat_header *header)
{
    const guint8 start[] = { RECORD_VERSION, (guint8)((header->listed ? FLAG_LISTED : 0) |
                                                      (header->digested ? FLAG_DIGESTED : 0)) };
    const guint32 count = GUINT32_TO_LE(header->count);
    GByteArray *record = g_byte_array_sized_new(HEADER_SIZE + header->count * 96);
    g_byte_array_append(record, start, sizeof start);
    put_number(record, header->boot);
    put_number(record, (guint64)header->recorded);
    put_number(record, (guint64)header->mtime);
    put_number(record, (guint64)header->ctime);
    g_byte_array_append(record, header->digest.hash, DIGEST_HASH_SIZE);
    put_number(record, (guint64)header->digest.size);
    return g_byte_array_append(record, (const guint8 *)&count, sizeof count);
}

void stat_record_add(GByteArray *record, const struct stat_entry *entry)
{
    const guint8 kind = (guint8)entry->kind;
    g_byte_array_append(record, &kind, 1);
    put_string(record, entry->name);
    if (entry->kind == STAT_OTHER)
        return;
    if (entry->kind != STAT_DIRECTORY) {
        put_number(record, entry->identity.inode);
        put_number(record, (guint64)entry->identity.mtime);
        put_number(record, (guint64)entry->identity.ctime);
    }
    put_number(record, (guint64)entry->identity.size);
    if (entry->kind == STAT_LINK)
        put_string(record, entry->target);
    else
        g_byte_array_append(record, entry->hash, DIGEST_HASH_SIZE);
}

static guint64 take_number(struct stat_reader *reader)
{
    guint64 value = 0;
    if ((size_t)(reader->end - reader->at) < sizeof value) {
        reader->failed = true;
        return 0;
    }
    memcpy(&value, reader->at, sizeof value);
    reader->at += sizeof value;
    return GUINT64_FROM_LE(value);
}

static const guint8 *take_hash(struct stat_reader *reader)
{
    const guint8 *hash = reader->at;
    if (reader->end - reader->at < DIGEST_HASH_SIZE)
        reader->failed = true;
    else
        reader->at += DIGEST_HASH_SIZE;
    return hash;
}

static const char *take_string(struct stat_reader *reader)
{
    const char *text = (const char *)reader->at;
    const guint8 *end =
        reader->failed ? NULL : memchr(reader->at, '\0', (size_t)(reader->end - reader->at));
    if (end == NULL)
        reader->failed = true;
    else
        reader->at = end + 1;
    return text;
}

void stat_reader_init(struct stat_reader *reader, GBytes *record)
{
    gsize size;
    *reader = (struct stat_reader){ .at = g_bytes_get_data(record, &size) };
    reader->end = reader->at + size;
    reader->failed = size < HEADER_SIZE || reader->at[0] != RECORD_VERSION ||
                     reader->at[1] > (FLAG_LISTED | FLAG_DIGESTED);
    if (reader->failed)
        return;
    struct stat_header *header = &reader->header;
    header->listed = (reader->at[1] & FLAG_LISTED) != 0;
    header->digested = (reader->at[1] & FLAG_DIGESTED) != 0;
    reader->at += 2;
    header->boot = take_number(reader);
    header->recorded = (gint64)take_number(reader);
    header->mtime = (gint64)take_number(reader);
    header->ctime = (gint64)take_number(reader);
    memcpy(header->digest.hash, take_hash(reader), DIGEST_HASH_SIZE);
    header->digest.size = (gint64)take_number(reader);
    memcpy(&header->count, reader->at, sizeof header->count);
    header->count = GUINT32_FROM_LE(header->count);
    reader->at += sizeof header->count;
    reader->left = header->count;
    /* An entry takes two bytes at least: a count that cannot be true must not cost memory. */
    reader->failed = header->digest.size < 0 || header->count > size / 2 ||
                     (header->count == 0 && reader->at != reader->end);
}

static void take_entry(struct stat_reader *reader, struct stat_entry *out)
{
    *out = (struct stat_entry){ .kind = (enum stat_kind) * reader->at++ };
    out->name = take_string(reader);
    if (out->kind == STAT_FILE || out->kind == STAT_EXECUTABLE || out->kind == STAT_LINK) {
        out->identity.inode = take_number(reader);
        out->identity.mtime = (gint64)take_number(reader);
        out->identity.ctime = (gint64)take_number(reader);
    }
    if (out->kind != STAT_OTHER)
        out->identity.size = (gint64)take_number(reader);
    if (out->kind == STAT_LINK)
        out->target = take_string(reader);
    else if (out->kind != STAT_OTHER)
        out->hash = take_hash(reader);
}

bool stat_reader_next(struct stat_reader *reader, struct stat_entry *out)
{
    if (reader->failed || reader->left == 0)
        return false;
    reader->left--;
    reader->failed = reader->at == reader->end;
    if (!reader->failed)
        take_entry(reader, out);
    reader->failed = reader->failed || out->kind < STAT_FILE || out->kind > STAT_OTHER ||
                     out->identity.size < 0 ||
                     (reader->last != NULL && strcmp(reader->last, out->name) >= 0) ||
                     (reader->left == 0 && reader->at != reader->end);
    reader->last = out->name;
    return !reader->failed;
}

/* --- the cache -------------------------------------------------------------------------------- */

struct learned {
    GBytes *record;
    bool dirty;
};

struct stat_cache {
    struct store *store;        /* may be NULL */
    const volatile int *cancel; /* may be NULL */
    pthread_mutex_t lock;
    GHashTable *learned; /* GBytes *key -> struct learned *, guarded by lock */
    bool dirty;          /* guarded by lock */
};

void stat_cache_key(guint8 key[STAT_KEY_SIZE], guint64 device, guint64 inode)
{
    device = GUINT64_TO_BE(device);
    inode = GUINT64_TO_BE(inode);
    memcpy(key, &device, sizeof device);
    memcpy(key + sizeof device, &inode, sizeof inode);
}

static void free_learned(void *value)
{
    struct learned *learned = value;
    g_bytes_unref(learned->record);
    g_free(learned);
}

struct stat_cache *stat_cache_new(struct store *store)
{
    struct stat_cache *cache = g_new0(struct stat_cache, 1);
    cache->store = store;
    pthread_mutex_init(&cache->lock, NULL);
    cache->learned = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                           (GDestroyNotify)g_bytes_unref, free_learned);
    return cache;
}

void stat_cache_free(struct stat_cache *cache)
{
    if (cache == NULL)
        return;
    g_hash_table_unref(cache->learned);
    pthread_mutex_destroy(&cache->lock);
    g_free(cache);
}

void stat_cache_heed(struct stat_cache *cache, const volatile int *cancel)
{
    cache->cancel = cancel;
}

const volatile int *stat_cache_cancel(const struct stat_cache *cache)
{
    return cache == NULL ? NULL : cache->cancel;
}

bool stat_cache_dirty(const struct stat_cache *cache)
{
    struct stat_cache *mutable = (struct stat_cache *)cache;
    pthread_mutex_lock(&mutable->lock);
    bool dirty = cache->dirty;
    pthread_mutex_unlock(&mutable->lock);
    return dirty;
}

GBytes *stat_cache_get_key(struct stat_cache *cache, const guint8 *key, size_t size)
{
    g_autoptr(GBytes) probe = g_bytes_new_static(key, size);
    pthread_mutex_lock(&cache->lock);
    const struct learned *learned = g_hash_table_lookup(cache->learned, probe);
    GBytes *record = learned == NULL ? NULL : g_bytes_ref(learned->record);
    pthread_mutex_unlock(&cache->lock);
    if (record == NULL && cache->store != NULL)
        record = store_record_get(cache->store, STORE_STAT, key, size);
    return record;
}

GBytes *stat_cache_get(struct stat_cache *cache, guint64 device, guint64 inode)
{
    guint8 key[STAT_KEY_SIZE];
    stat_cache_key(key, device, inode);
    return stat_cache_get_key(cache, key, sizeof key);
}

void stat_cache_put_key(struct stat_cache *cache, const guint8 *key, size_t size, GBytes *record)
{
    struct learned *learned = g_new(struct learned, 1);
    *learned = (struct learned){ .record = g_bytes_ref(record), .dirty = true };
    pthread_mutex_lock(&cache->lock);
    g_hash_table_replace(cache->learned, g_bytes_new(key, size), learned);
    cache->dirty = true;
    pthread_mutex_unlock(&cache->lock);
}

void stat_cache_put(struct stat_cache *cache, guint64 device, guint64 inode, GByteArray *record)
{
    guint8 key[STAT_KEY_SIZE];
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(record);
    stat_cache_key(key, device, inode);
    stat_cache_put_key(cache, key, sizeof key, bytes);
}

void stat_cache_flush(struct stat_cache *cache, struct store_batch *batch)
{
    pthread_mutex_lock(&cache->lock);
    GHashTableIter each;
    void *key, *value;
    g_hash_table_iter_init(&each, cache->learned);
    while (g_hash_table_iter_next(&each, &key, &value)) {
        struct learned *learned = value;
        if (!learned->dirty)
            continue;
        gsize size;
        const void *bytes = g_bytes_get_data(key, &size);
        store_batch_put_record(batch, STORE_STAT, bytes, size, learned->record);
        learned->dirty = false;
    }
    cache->dirty = false;
    pthread_mutex_unlock(&cache->lock);
}
