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
    case EXT4_SUPER_MAGIC: /* Linux 6.13 and later */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        clock.multigrain = true;
        break;
    default:
        break;
    }
    return clock;
}

/* --- records ---------------------------------------------------------------------------------- */

GByteArray *stat_record_new(void)
{
    const guint8 version = RECORD_VERSION;
    return g_byte_array_append(g_byte_array_new(), &version, 1);
}

static void put_number(GByteArray *record, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(record, (const guint8 *)&value, sizeof value);
}

static void put_string(GByteArray *record, const char *text)
{
    g_byte_array_append(record, (const guint8 *)text, (guint)strlen(text) + 1);
}

void stat_record_add(GByteArray *record, const struct stat_entry *entry)
{
    const guint8 kind = (guint8)entry->kind;
    put_string(record, entry->name);
    g_byte_array_append(record, &kind, 1);
    put_number(record, entry->identity.inode);
    put_number(record, (guint64)entry->identity.size);
    put_number(record, (guint64)entry->identity.mtime);
    put_number(record, (guint64)entry->identity.ctime);
    if (entry->kind == STAT_FILE)
        g_byte_array_append(record, entry->hash, DIGEST_HASH_SIZE);
    else
        put_string(record, entry->target);
}

void stat_reader_init(struct stat_reader *reader, const void *data, size_t size)
{
    *reader = (struct stat_reader){ .at = data };
    if (size == 0 || *reader->at != RECORD_VERSION)
        size = 0;
    reader->end = size == 0 ? reader->at : reader->at + size;
    reader->failed = size == 0;
    reader->at += size != 0;
}

static bool take(struct stat_reader *reader, size_t size, const guint8 **out)
{
    if ((size_t)(reader->end - reader->at) < size)
        return false;
    *out = reader->at;
    reader->at += size;
    return true;
}

static bool take_string(struct stat_reader *reader, const char **out)
{
    const guint8 *end = reader->at == reader->end
                            ? NULL
                            : memchr(reader->at, '\0', (size_t)(reader->end - reader->at));
    if (end == NULL)
        return false;
    *out = (const char *)reader->at;
    reader->at = end + 1;
    return true;
}

static gint64 number_at(const guint8 *bytes)
{
    guint64 value;
    memcpy(&value, bytes, sizeof value);
    return (gint64)GUINT64_FROM_LE(value);
}

static bool read_entry(struct stat_reader *reader, struct stat_entry *out)
{
    const guint8 *fixed;
    if (!take_string(reader, &out->name) || !take(reader, 1 + 4 * sizeof(guint64), &fixed))
        return false;
    if (reader->last != NULL && strcmp(reader->last, out->name) >= 0)
        return false;
    reader->last = out->name;
    out->kind = (enum stat_kind)fixed[0];
    out->identity = (struct stat_identity){
        .inode = (guint64)number_at(fixed + 1),
        .size = number_at(fixed + 9),
        .mtime = number_at(fixed + 17),
        .ctime = number_at(fixed + 25),
    };
    if (out->identity.size < 0)
        return false;
    out->hash = NULL;
    out->target = NULL;
    if (out->kind == STAT_FILE)
        return take(reader, DIGEST_HASH_SIZE, &out->hash);
    return out->kind == STAT_LINK && take_string(reader, &out->target);
}

bool stat_reader_next(struct stat_reader *reader, struct stat_entry *out)
{
    if (reader->failed || reader->at == reader->end)
        return false;
    reader->failed = !read_entry(reader, out);
    return !reader->failed;
}

/* --- the cache -------------------------------------------------------------------------------- */

struct learned {
    GBytes *record;
    bool dirty;
};

struct stat_cache {
    struct store *store; /* may be NULL */
    pthread_mutex_t lock;
    GHashTable *learned; /* GBytes *key -> struct learned *, guarded by lock */
    bool dirty;          /* guarded by lock */
};

#define KEY_SIZE 16

static void make_key(guint8 key[KEY_SIZE], guint64 device, guint64 inode)
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

bool stat_cache_dirty(const struct stat_cache *cache)
{
    struct stat_cache *mutable = (struct stat_cache *)cache;
    pthread_mutex_lock(&mutable->lock);
    bool dirty = cache->dirty;
    pthread_mutex_unlock(&mutable->lock);
    return dirty;
}

GBytes *stat_cache_get(struct stat_cache *cache, guint64 device, guint64 inode)
{
    guint8 key[KEY_SIZE];
    make_key(key, device, inode);
    g_autoptr(GBytes) probe = g_bytes_new_static(key, sizeof key);
    pthread_mutex_lock(&cache->lock);
    const struct learned *learned = g_hash_table_lookup(cache->learned, probe);
    GBytes *record = learned == NULL ? NULL : g_bytes_ref(learned->record);
    pthread_mutex_unlock(&cache->lock);
    if (record == NULL && cache->store != NULL)
        record = store_record_get(cache->store, STORE_STAT, key, sizeof key);
    return record;
}

void stat_cache_put(struct stat_cache *cache, guint64 device, guint64 inode, GByteArray *record)
{
    guint8 key[KEY_SIZE];
    make_key(key, device, inode);
    struct learned *learned = g_new(struct learned, 1);
    *learned = (struct learned){ .record = g_byte_array_free_to_bytes(record), .dirty = true };
    pthread_mutex_lock(&cache->lock);
    g_hash_table_replace(cache->learned, g_bytes_new(key, sizeof key), learned);
    cache->dirty = true;
    pthread_mutex_unlock(&cache->lock);
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
        store_batch_put_record(batch, STORE_STAT, g_bytes_get_data(key, NULL), KEY_SIZE,
                               learned->record);
        learned->dirty = false;
    }
    cache->dirty = false;
    pthread_mutex_unlock(&cache->lock);
}
