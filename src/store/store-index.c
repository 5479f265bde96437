// SPDX-License-Identifier: Apache-2.0
/*
 * The LMDB environment: opening, reading, growing, and what becomes of it when it is damaged.
 *
 * Flags, and why each is safe
 *  NOMETASYNC  a commit syncs its pages, then writes the meta page without syncing it. The sync of
 *              the next commit covers it. LMDB does not reuse pages freed by the previous
 *              transaction, so whichever meta page survives a power loss leads to whole pages. At
 *              worst the last commit is undone: work lost, not truth (V7). Saves half of the syncs.
 *  NOTLS       readers belong to transactions, not threads: GLib's pool threads come and go.
 *  NORDAHEAD   keys are hashes, so neighbours in the file are strangers.
 *
 * Every read copies what it needs and ends its transaction, so no reader ever holds up the reuse of
 * pages, and the map can be moved as soon as map_lock is free.
 *
 * Phases of an environment
 *   live      all calls
 *   damaged   reads find nothing, writes fail with FAULT_DAMAGED; index/damaged exists if it could
 *             be written, and the next store_open() that is alone begins anew
 *   wrecked   damaged, and a guarded call did not return: also never closed, since LMDB may hold
 *             its writer mutex, which glibc keeps in a list through the mapped lock file
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    DEFAULT_MAP_SIZE = 1 << 30,
    LOCK_FILE_SIZE = 64 << 10, /* some 1,000 readers at once */
    MAIN_DATABASE = 1,         /* LMDB's number of the unnamed one, which mdb_dbi_open() returns */
    SCAN_PAIRS = 256,
    RELAX_CALLS = 256,
    RELAX_BYTES = 64 << 20, /* to touch them again costs time: half of a put of what is there */
    SCAN_BYTES = 4 << 20,
};

static const unsigned base_flags = MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD;

bool store_index_is_damage(int rc)
{
    switch (rc) {
    case STORE_FAULT:
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN:
    case MDB_BAD_DBI:
        return true;
    default:
        return false;
    }
}

static const char damage_mark[] = "damaged";
static const char new_directory[] = "new", new_file[] = "new/data.mdb";

void store_index_mark_damaged(struct store_index *index)
{
    if (index->unlocked || atomic_exchange(&index->damaged, true) || index->read_only)
        return;
    int mark = openat(index->directory, damage_mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fd_close(&mark); /* if it could not be made, the next one to meet the damage tries again */
}

bool store_index_is_marked(int store)
{
    return faccessat(store, "index/damaged", F_OK, 0) == 0;
}

/* Note what `rc` says about the index; returns whether it says damage. */
static bool note(struct store_index *index, int rc)
{
    if (store_index_is_damage(rc))
        store_index_mark_damaged(index);
    return store_index_is_damage(rc);
}

/* A call that takes LMDB's mutexes did not return. */
void store_index_wreck(struct store_index *index)
{
    atomic_store(&index->wrecked, true);
    store_index_mark_damaged(index);
}

/* Environments that must not be closed are left behind here, for leak checkers to see. */
static void leave_behind(MDB_env *env)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static GSList *wrecks;
    pthread_mutex_lock(&lock);
    wrecks = g_slist_prepend(wrecks, env);
    pthread_mutex_unlock(&lock);
}

/* --- opening ---------------------------------------------------------------------------------- */

/*
 * LMDB's lock file is a shared map that LMDB writes to: on a full file system that would be SIGBUS.
 * So its blocks are there before LMDB opens it. Never open it again later: closing any descriptor
 * of it would drop the locks by which LMDB knows this process.
 */
static int reserve_lock_file(int directory)
{
    struct stat status;
    if (fstatat(directory, "lock.mdb", &status, 0) == 0 && status.st_size >= LOCK_FILE_SIZE &&
        status.st_blocks * 512 >= LOCK_FILE_SIZE)
        return 0;
    autofd int file = openat(directory, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return errno;
    int rc;
    while ((rc = posix_fallocate(file, 0, LOCK_FILE_SIZE)) == EINTR)
        ;
    return rc;
}

/*
 * What LMDB takes on trust when it opens the file; ENOENT if there is none yet. Another process may
 * be making the file or writing a meta page at this moment, so what looks damaged is looked at
 * again under STORE_LOCK_WRITE.
 */
static int check_file(int directory, size_t *size)
{
    autofd int file = openat(directory, "data.mdb", O_RDONLY | O_CLOEXEC);
    struct stat status;
    *size = 0;
    if (file < 0)
        return errno;
    if (fstat(file, &status) < 0)
        return errno;
    if (status.st_size == 0)
        return ENOENT; /* LMDB makes a new one of it */
    struct store_pages pages;
    bool sound = store_pages_open(&pages, file);
    store_pages_release(&pages);
    *size = (size_t)status.st_size;
    return sound ? 0 : MDB_CORRUPTED;
}

int store_index_begin(struct store_index *index, unsigned flags, MDB_txn **txn)
{
    MDB_envinfo info; /* looks at the meta pages as mdb_txn_begin() does, but holds nothing yet */
    int rc = STORE_GUARDED(STORE_FAULT, mdb_env_info(index->env, &info));
    if (rc == 0)
        rc = STORE_GUARDED(STORE_FAULT, mdb_txn_begin(index->env, NULL, flags, txn));
    if (rc == STORE_FAULT)
        store_index_wreck(index);
    return rc;
}

void store_index_abort(struct store_index *index, MDB_txn *txn)
{
    if (STORE_GUARDED(STORE_FAULT, (mdb_txn_abort(txn), 0)) != 0)
        store_index_wreck(index);
}

/* The first transaction of an environment: names the database, and shows whether reading works. */
static int probe(struct store_index *index)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = store_index_begin(index, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = STORE_GUARDED(STORE_FAULT, mdb_dbi_open(txn, NULL, 0, &dbi));
    store_index_abort(index, txn);
    g_assert(rc != 0 || dbi == MAIN_DATABASE);
    return rc;
}

static void close_environment(struct store_index *index, int rc)
{
    if (rc == STORE_FAULT || atomic_load(&index->wrecked))
        leave_behind(index->env);
    else
        mdb_env_close(index->env);
    index->env = NULL;
    index->map = NULL;
}

/* LMDB maps more than it was asked to, if another process has grown the file since. */
static void note_map_size(struct store_index *index)
{
    MDB_envinfo info;
    mdb_env_info(index->env, &info);
    index->map_size = info.me_mapsize;
}

static int try_environment(struct store_index *index, unsigned flags)
{
    int rc = mdb_env_create(&index->env);
    if (rc != 0)
        return rc;
    mdb_env_set_assert(index->env, store_guard_assert);
    mdb_env_set_mapsize(index->env, index->map_size);
    rc = STORE_GUARDED(STORE_FAULT, mdb_env_open(index->env, index->path, flags, 0600));
    if (rc == 0) {
        int file;
        mdb_env_get_fd(index->env, &file);
        fcntl(file, F_SETFD, FD_CLOEXEC); /* the one that LMDB leaves without */
        MDB_stat status;
        mdb_env_stat(index->env, &status);
        index->page_size = status.ms_psize;
        note_map_size(index);
        rc = probe(index);
    }
    if (rc != 0)
        close_environment(index, rc);
    return rc;
}

/* Another process may grow the file between the look at its size and the first transaction. */
static int open_environment(struct store_index *index, unsigned flags)
{
    int rc;
    while ((rc = try_environment(index, flags)) == MDB_MAP_RESIZED)
        index->map_size *= 2;
    return rc;
}

/*
 * Make data.mdb with nothing in it. LMDB writes two pages; a full disk or death in between would
 * leave what looks like damage, so they get their name when they are complete. Under
 * STORE_LOCK_WRITE.
 */
static int create_file(const struct store_index *index)
{
    MDB_env *env;
    g_autofree char *path = g_build_filename(index->path, new_directory, NULL);
    fd_remove_tree(index->directory, new_directory, NULL); /* a creator may have died here */
    if (mkdirat(index->directory, new_directory, 0700) < 0)
        return errno;
    int rc = mdb_env_create(&env);
    if (rc != 0)
        return rc;
    mdb_env_set_mapsize(env, index->map_size);
    rc = mdb_env_open(env, path, MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_env_sync(env, 1);
    mdb_env_close(env);
    if (rc == 0 && renameat(index->directory, new_file, index->directory, "data.mdb") < 0)
        rc = errno;
    if (rc == 0)
        fsync(index->directory);
    fd_remove_tree(index->directory, new_directory, NULL);
    return rc;
}

/*
 * Reading without LMDB's lock file is the last resort: where it cannot be written, and where LMDB
 * refuses because a process of the same number, in another PID namespace, holds its place (EAGAIN).
 * A writer then does not know of us and may rewrite pages as we read them; what we return is
 * verified all the same.
 */
static int open_somehow(struct store_index *index)
{
    if (!index->read_only) {
        int rc = reserve_lock_file(index->directory);
        if (rc == 0)
            rc = open_environment(index, base_flags);
        if (rc != EAGAIN && rc != EACCES)
            return rc;
        index->read_only = true;
    }
    int rc = open_environment(index, base_flags | MDB_RDONLY);
    if (rc != EACCES && rc != EROFS && rc != EPERM && rc != EAGAIN && rc != ENOENT)
        return rc;
    index->unlocked = true;
    return open_environment(index, base_flags | MDB_RDONLY | MDB_NOLOCK);
}

struct store_index *store_index_open(int store, const char *path, enum store_index_how how,
                                     size_t map_size, int *rc)
{
    store_guard_install();
    int directory = openat(store, "index", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        *rc = errno;
        return NULL;
    }
    struct store_index *index = g_new0(struct store_index, 1);
    index->directory = directory;
    index->path = g_build_filename(path, "index", NULL);
    index->read_only = how == STORE_INDEX_READ;
    pthread_rwlock_init(&index->map_lock, NULL);
    pthread_mutex_init(&index->relax_lock, NULL);
    size_t file_size, page = (size_t)sysconf(_SC_PAGESIZE);
    index->map_size = map_size != 0 ? (map_size + page - 1) / page * page : DEFAULT_MAP_SIZE;
    *rc = check_file(directory, &file_size);
    if (*rc == ENOENT && how == STORE_INDEX_CREATE)
        *rc = create_file(index);
    while (index->map_size < file_size)
        index->map_size *= 2;
    if (*rc == 0)
        *rc = open_somehow(index);
    if (*rc == 0)
        return index;
    store_index_close(index);
    return NULL;
}

void store_index_close(struct store_index *index)
{
    if (index == NULL)
        return;
    if (index->env != NULL)
        close_environment(index, 0);
    fd_close(&index->directory);
    pthread_rwlock_destroy(&index->map_lock);
    pthread_mutex_destroy(&index->relax_lock);
    g_free(index->path);
    g_free(index);
}

/* data.mdb has been replaced: open the new one. Under map_lock, alone. */
int store_index_reopen(struct store_index *index)
{
    close_environment(index, 0);
    int rc = open_environment(index, base_flags);
    if (rc != 0)
        atomic_store(&index->damaged, true);
    return rc;
}

/* --- growing ---------------------------------------------------------------------------------- */

static bool resize(struct store_index *index, size_t size, GError **error)
{
    pthread_rwlock_wrlock(&index->map_lock);
    int rc = STORE_GUARDED(STORE_FAULT, mdb_env_set_mapsize(index->env, size));
    index->map = NULL;
    if (rc == 0)
        note_map_size(index);
    else if (rc == STORE_FAULT)
        store_index_wreck(index);
    else
        atomic_store(&index->damaged, true); /* there is no map any more, though nothing is wrong */
    pthread_rwlock_unlock(&index->map_lock);
    return rc == 0 || fault_set(error, rc == STORE_FAULT ? FAULT_DAMAGED : FAULT_NO_SPACE,
                                "cannot map %zu MiB of %s: %s", size >> 20, index->path,
                                rc == STORE_FAULT ? "it is damaged" : mdb_strerror(rc));
}

bool store_index_grow(struct store_index *index, GError **error)
{
    return resize(index, index->map_size * 2, error);
}

bool store_index_adopt_size(struct store_index *index, GError **error)
{
    struct stat status;
    if (fstatat(index->directory, "data.mdb", &status, 0) < 0)
        return fault_errno(error, errno, "cannot look at %s/data.mdb", index->path);
    size_t size = index->map_size * 2;
    while (size < (size_t)status.st_size)
        size *= 2;
    return resize(index, size, error);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Give back the places of readers that have died. */
int store_index_reap_readers(struct store_index *index)
{
    int dead;
    return STORE_GUARDED(STORE_FAULT, mdb_reader_check(index->env, &dead));
}

/* Begin a read transaction; map_lock is held (shared) when it returns 0. */
static int begin_read(struct store_index *index, MDB_txn **txn)
{
    for (int attempt = 0;; attempt++) {
        if (atomic_load(&index->damaged))
            return MDB_CORRUPTED;
        pthread_rwlock_rdlock(&index->map_lock);
        int rc = index->env == NULL ? MDB_CORRUPTED : store_index_begin(index, MDB_RDONLY, txn);
        if (rc == 0)
            return 0;
        if (rc == MDB_READERS_FULL && attempt < 3)
            rc = store_index_reap_readers(index);
        pthread_rwlock_unlock(&index->map_lock);
        if (rc == MDB_MAP_RESIZED && attempt < 3)
            rc = store_index_adopt_size(index, NULL) ? 0 : rc;
        if (rc != 0 || attempt >= 3)
            return rc;
    }
}

static void end_read(struct store_index *index, MDB_txn *txn)
{
    store_index_abort(index, txn);
    pthread_rwlock_unlock(&index->map_lock);
}

/* Copy out of the map, which may end early. */
static int copy(void *to, const void *from, size_t size)
{
    return STORE_GUARDED(STORE_FAULT, (memcpy(to, from, size), 0));
}

/* A copy of `size` bytes at `from`; *rc is 0, ENOMEM or STORE_FAULT. */
static GBytes *copy_bytes(const void *from, size_t size, int *rc)
{
    if (size == 0)
        return g_bytes_new_static("", 0);
    void *data = g_try_malloc(size);
    *rc = data == NULL ? ENOMEM : copy(data, from, size);
    if (*rc == 0)
        return g_bytes_new_take(data, size);
    g_free(data);
    return NULL;
}

/* Is it where a value can be? STORE_FAULT if its page cannot even be read. */
static int locate(const struct store_index *index, const MDB_val *value)
{
    return STORE_GUARDED(STORE_FAULT, store_pages_contain(value->mv_data, value->mv_size,
                                                          index->page_size, index->map_size)
                                          ? 0
                                          : MDB_CORRUPTED);
}

int store_index_look(const struct store_index *index, MDB_txn *txn, const void *key,
                     size_t key_size, void *prefix, size_t prefix_size, size_t *size,
                     GBytes **whole)
{
    MDB_val name = { key_size, (void *)key }, value = { 0, NULL };
    int rc = STORE_GUARDED(STORE_FAULT, mdb_get(txn, MAIN_DATABASE, &name, &value));
    if (rc == 0 && index != NULL && (prefix_size > 0 || whole != NULL))
        rc = locate(index, &value);
    if (rc != 0)
        return rc;
    *size = value.mv_size;
    if (prefix_size > 0 && value.mv_size > 0)
        rc = copy(prefix, value.mv_data, MIN(prefix_size, value.mv_size));
    if (rc == 0 && whole != NULL)
        *whole = copy_bytes(value.mv_data, value.mv_size, &rc);
    return rc;
}

bool store_index_get(struct store_index *index, const void *key, size_t key_size, void *prefix,
                     size_t prefix_size, size_t *size, GBytes **whole)
{
    MDB_txn *txn;
    if (whole != NULL)
        *whole = NULL;
    if (index == NULL)
        return false;
    int rc = begin_read(index, &txn);
    if (rc == 0) {
        rc = store_index_look(index, txn, key, key_size, prefix, prefix_size, size, whole);
        store_index_relax(index);
        end_read(index, txn);
    }
    if (rc != 0)
        note(index, rc);
    return rc == 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Bytes of files and shared memory that are mapped and resident here. */
static size_t shared_memory(void)
{
    char text[128] = "";
    unsigned long pages[3] = { 0 };
    autofd int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0 ||
        sscanf(text, "%lu %lu %lu", &pages[0], &pages[1], &pages[2]) != 3)
        return 0;
    return pages[2] * (size_t)sysconf(_SC_PAGESIZE);
}

/* LMDB does not tell where its map is; the kernel does. */
static void *find_map(const struct store_index *index)
{
    int descriptor;
    struct stat status;
    g_autofree char *text = NULL;
    mdb_env_get_fd(index->env, &descriptor);
    if (fstat(descriptor, &status) < 0 ||
        !g_file_get_contents("/proc/self/maps", &text, NULL, NULL))
        return NULL;
    for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        unsigned long start, end, inode;
        line += *line == '\n';
        if (sscanf(line, "%lx-%lx r--s 00000000 %*x:%*x %lu", &start, &end, &inode) == 3 &&
            inode == status.st_ino && end - start == index->map_size)
            return (void *)start;
    }
    return NULL;
}

/* Dropping pages of a shared map loses nothing and harms no reader: they are mapped again. */
static void drop_pages(struct store_index *index)
{
    if (index->map == NULL)
        index->map = find_map(index);
    if (index->map != NULL)
        madvise(index->map, index->map_size, MADV_DONTNEED);
}

void store_index_relax(struct store_index *index)
{
    if (atomic_fetch_add(&index->calls, 1) % RELAX_CALLS != RELAX_CALLS - 1 ||
        shared_memory() < RELAX_BYTES)
        return;
    pthread_mutex_lock(&index->relax_lock);
    drop_pages(index);
    pthread_mutex_unlock(&index->relax_lock);
}

/* --- scanning --------------------------------------------------------------------------------- */

void store_pair_free(struct store_pair *pair)
{
    g_clear_pointer(&pair->key, g_bytes_unref);
    g_clear_pointer(&pair->value, g_bytes_unref);
    g_free(pair);
}

static void pair_free(void *pair)
{
    store_pair_free(pair);
}

static struct store_pair *pair_copy(const struct store_index *index, const MDB_val *key,
                                    const MDB_val *value, size_t limit, int *rc)
{
    struct store_pair *pair = g_new0(struct store_pair, 1);
    *rc = locate(index, key);
    if (*rc == 0)
        *rc = locate(index, value);
    if (*rc == 0)
        pair->key = copy_bytes(key->mv_data, key->mv_size, rc);
    if (*rc == 0)
        pair->value = copy_bytes(value->mv_data, MIN(limit, value->mv_size), rc);
    pair->size = value->mv_size;
    if (*rc == 0)
        return pair;
    store_pair_free(pair);
    return NULL;
}

/* Damage can make the tree a graph with cycles. That keys must ascend bounds every scan. */
int store_index_fill(const struct store_index *index, MDB_txn *txn, guint8 table, GBytes *after,
                     size_t limit, GPtrArray *out)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, MAIN_DATABASE, &cursor);
    if (rc != 0)
        return rc;
    g_autoptr(GBytes) last = after != NULL ? g_bytes_ref(after) : g_bytes_new(&table, 1);
    gsize size;
    const void *start = g_bytes_get_data(last, &size);
    MDB_val key = { size, (void *)start }, value;
    size_t bytes = 0;
    MDB_cursor_op operation = MDB_SET_RANGE;
    while (out->len < SCAN_PAIRS && bytes < SCAN_BYTES) {
        rc = STORE_GUARDED(STORE_FAULT, mdb_cursor_get(cursor, &key, &value, operation));
        if (rc != 0)
            break;
        bool first = operation == MDB_SET_RANGE;
        operation = MDB_NEXT;
        struct store_pair *pair = pair_copy(index, &key, &value, limit, &rc);
        if (pair == NULL)
            break;
        int order = g_bytes_compare(pair->key, last);
        const guint8 *name = g_bytes_get_data(pair->key, &size);
        if (order <= 0 || name[0] != table) {
            bool itself = order == 0 && first;
            rc = itself ? 0 : order <= 0 ? MDB_CORRUPTED : MDB_NOTFOUND;
            store_pair_free(pair);
            if (itself)
                continue;
            break;
        }
        g_bytes_unref(last);
        last = g_bytes_ref(pair->key);
        bytes += g_bytes_get_size(pair->value);
        g_ptr_array_add(out, pair);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

GPtrArray *store_index_scan(struct store_index *index, guint8 table, GBytes *after, size_t limit,
                            bool *damage)
{
    g_autoptr(GPtrArray) out = g_ptr_array_new_with_free_func(pair_free);
    MDB_txn *txn;
    if (index == NULL)
        return NULL;
    int rc = begin_read(index, &txn);
    if (rc == 0) {
        rc = store_index_fill(index, txn, table, after, limit, out);
        store_index_relax(index);
        end_read(index, txn);
    }
    if (rc != 0 && note(index, rc) && damage != NULL)
        *damage = true;
    return out->len > 0 ? g_steal_pointer(&out) : NULL;
}
