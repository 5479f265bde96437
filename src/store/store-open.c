// SPDX-License-Identifier: Apache-2.0
/*
 * The directory of a store: finding and making it, its format, sharing it within the process,
 * setting a damaged index aside.
 *
 * LMDB allows one environment per file and process (POSIX locks belong to the process, and the
 * first close drops them all), so stores on one directory share one store_disk.
 *
 * A store whose index is damaged is begun anew only by a process that has it to itself. If another
 * has it open, this one goes without: an empty store that may only be read. Waiting could take as
 * long as that other one's build.
 */
#include "store/store-disk.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FORMAT_NAME "vial store"
#define FORMAT_VERSION "1"

enum {
    DEFAULT_INLINE_LIMIT = 16 << 10, /* larger blobs are files. Figures: doc/format/store.md */
    RESERVE_BYTES = 256 << 10,
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static GSList *registry; /* of struct store_disk */

/* --- format ----------------------------------------------------------------------------------- */

enum format {
    FORMAT_OURS,
    FORMAT_MISSING,
    FORMAT_DAMAGED,
    FORMAT_OTHER
};

/* "vial store VERSION CHECK\n": CHECK tells a damaged line from one of another version. */
static char *format_line(const char *version)
{
    g_autofree char *text = g_strconcat(FORMAT_NAME " ", version, NULL);
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    struct digest digest;
    digest_of(text, strlen(text), &digest);
    return g_strdup_printf("%s %.8s\n", text, digest_print_hash(&digest, hex));
}

static enum format parse_format(const char *text, char **version)
{
    if (!g_str_has_prefix(text, FORMAT_NAME " "))
        return FORMAT_DAMAGED;
    const char *start = text + strlen(FORMAT_NAME " "), *end = strchr(start, ' ');
    if (end == NULL)
        return FORMAT_DAMAGED;
    *version = g_strndup(start, (gsize)(end - start));
    g_autofree char *expected = format_line(*version);
    if (strcmp(text, expected) != 0)
        return FORMAT_DAMAGED;
    return strcmp(*version, FORMAT_VERSION) == 0 ? FORMAT_OURS : FORMAT_OTHER;
}

static bool read_format(const struct store_disk *disk, enum format *out, GError **error)
{
    char text[128] = "";
    g_autofree char *version = NULL;
    autofd int file = openat(disk->directory, "format", O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno != ENOENT)
        return fault_errno(error, errno, "cannot open %s/format", disk->path);
    *out = FORMAT_MISSING;
    if (file < 0)
        return true;
    if (fd_read_full(file, text, sizeof text - 1, disk->path, error) < 0)
        return false;
    *out = parse_format(text, &version);
    if (*out == FORMAT_OTHER)
        fault_set(error, FAULT_FORMAT,
                  "the store %s has format %s, and this vial knows " FORMAT_VERSION
                  ": name another directory in VIAL_STORE, or remove this one (it is a cache)",
                  disk->path, version);
    return *out != FORMAT_OTHER;
}

/* --- making and setting aside ----------------------------------------------------------------- */

/* Is there nothing here but what an interrupted creation may have left? */
static bool is_vacant(const struct store_disk *disk, GError **error)
{
    static const char *const ours[] = { ".",       "..",      "lock",       "tmp",        "objects",
                                        "index",   "claims",  "format.new", "lost+found", "log",
                                        "log.new", "reserve", "format",     NULL };
    int file = openat(disk->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = file < 0 ? NULL : fdopendir(file);
    if (stream == NULL) {
        fd_close(&file);
        return fault_errno(error, errno, "cannot list %s", disk->path);
    }
    bool vacant = true;
    struct dirent *entry;
    while (vacant && (entry = readdir(stream)) != NULL) {
        vacant = g_strv_contains(ours, entry->d_name) ||
                 g_str_has_prefix(entry->d_name, "index.damaged-");
        if (!vacant)
            fault_set(error, FAULT_FORMAT,
                      "%s is not a store and not empty (there is %s): name another directory in "
                      "VIAL_STORE",
                      disk->path, entry->d_name);
    }
    closedir(stream);
    return vacant;
}

static bool make_directory(const struct store_disk *disk, const char *name, GError **error)
{
    return mkdirat(disk->directory, name, 0700) == 0 || errno == EEXIST ||
           fault_errno(error, errno, "cannot make %s/%s", disk->path, name);
}

static bool make_directories(const struct store_disk *disk, GError **error)
{
    return make_directory(disk, "objects", error) && make_directory(disk, "tmp", error) &&
           make_directory(disk, "index", error);
}

void store_disk_make_reserve(const struct store_disk *disk)
{
    autofd int file = openat(disk->directory, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0 && posix_fallocate(file, 0, RESERVE_BYTES) != 0)
        unlinkat(disk->directory, "reserve", 0); /* no room now: the next collection tries again */
}

/* The format file comes last, so that a store either has all its parts or is made anew. */
static bool write_format(const struct store_disk *disk, GError **error)
{
    g_autofree char *line = format_line(FORMAT_VERSION);
    autofd int file = openat(disk->directory, "format.new",
                             O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return fault_errno(error, errno, "cannot make %s/format.new", disk->path);
    if (!fd_write_all(file, line, strlen(line), disk->path, error))
        return false;
    if (fsync(file) < 0 || renameat(disk->directory, "format.new", disk->directory, "format") < 0 ||
        fsync(disk->directory) < 0)
        return fault_errno(error, errno, "cannot write %s/format", disk->path);
    return true;
}

/* Move index/ out of the way, keeping one such. Caller holds STORE_LOCK_OPEN exclusively. */
static bool set_aside(const struct store_disk *disk, const char *why, char **notice, GError **error)
{
    unsigned number = 1;
    g_autofree char *name = g_strdup("index.damaged-1");
    while (faccessat(disk->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!fd_remove_tree(disk->directory, name, error))
            return false;
        g_free(name);
        name = g_strdup_printf("index.damaged-%u", ++number);
    }
    if (renameat(disk->directory, "index", disk->directory, name) < 0 && errno != ENOENT)
        return fault_errno(error, errno, "cannot set aside %s/index", disk->path);
    if (!make_directory(disk, "index", error))
        return false;
    fsync(disk->directory);
    g_free(*notice);
    *notice = g_strdup_printf("the index of the store was damaged (%s) and is now %s/%s; "
                              "the store begins anew",
                              why, disk->path, name);
    return true;
}

/* Replace a damaged index if nobody else has it open; otherwise go without one. */
static bool replace_index(struct store_disk *disk, const char *why, size_t map_size, char **notice,
                          GError **error)
{
    if (disk->read_only || !store_disk_lock(disk, STORE_LOCK_OPEN, F_WRLCK, false)) {
        disk->read_only = true;
        g_free(*notice);
        *notice =
            g_strdup_printf("the index of the store %s is damaged (%s) and cannot be replaced "
                            "now: vial goes on without it",
                            disk->path, why);
        return true;
    }
    int rc = 0;
    bool ok = set_aside(disk, why, notice, error);
    if (ok)
        disk->index =
            store_index_open(disk->directory, disk->path, STORE_INDEX_CREATE, map_size, &rc);
    store_disk_lock(disk, STORE_LOCK_OPEN, F_RDLCK, false);
    return ok && (disk->index != NULL ||
                  fault_set(error, rc == ENOSPC ? FAULT_NO_SPACE : FAULT_IO,
                            "cannot begin a new index in %s: %s", disk->path, mdb_strerror(rc)));
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool open_index(struct store_disk *disk, size_t map_size, char **notice, GError **error)
{
    int rc;
    if (store_index_is_marked(disk->directory))
        return replace_index(disk, "found in use", map_size, notice, error);
    disk->index =
        store_index_open(disk->directory, disk->path,
                         disk->read_only ? STORE_INDEX_READ : STORE_INDEX_WRITE, map_size, &rc);
    if (disk->index == NULL && (rc == MDB_CORRUPTED || rc == ENOENT) && !disk->read_only) {
        store_disk_lock(disk, STORE_LOCK_WRITE, F_WRLCK, true);
        disk->index =
            store_index_open(disk->directory, disk->path, STORE_INDEX_CREATE, map_size, &rc);
        store_disk_lock(disk, STORE_LOCK_WRITE, F_UNLCK, false);
    }
    if (disk->index != NULL && disk->index->read_only && !disk->read_only)
        *notice = g_strdup_printf("the store %s can only be read: a process of the same number, in "
                                  "another PID namespace, has it open",
                                  disk->path);
    if (disk->index != NULL) {
        disk->read_only = disk->index->read_only;
        return true;
    }
    if (store_index_is_damage(rc))
        return replace_index(disk, rc == STORE_FAULT ? "it could not be read" : mdb_strerror(rc),
                             map_size, notice, error);
    if (rc == ENOENT && disk->read_only)
        return true; /* never written to: empty */
    return fault_set(error, rc == ENOSPC ? FAULT_NO_SPACE : FAULT_IO, "cannot open %s/index: %s",
                     disk->path, mdb_strerror(rc));
}

/* There is no sound format file: make a store, or begin anew over what is left of one. */
static bool make_store(struct store_disk *disk, char **notice, GError **error)
{
    enum format format;
    if (!read_format(disk, &format, error))
        return false;
    if (format == FORMAT_OURS)
        return true; /* another process was faster */
    if (faccessat(disk->directory, "index/data.mdb", F_OK, 0) == 0) {
        if (!store_disk_lock(disk, STORE_LOCK_OPEN, F_WRLCK, false))
            return fault_set(error, FAULT_DAMAGED,
                             "%s/format is damaged, and another vial has the store open: try again "
                             "when it is done",
                             disk->path);
        bool ok = set_aside(disk, "its format file was damaged", notice, error);
        store_disk_lock(disk, STORE_LOCK_OPEN, F_RDLCK, false);
        if (!ok)
            return false;
    }
    if (!make_directories(disk, error))
        return false;
    store_disk_make_reserve(disk);
    return write_format(disk, error);
}

static bool is_refusal(int number)
{
    return number == EROFS || number == EACCES || number == EPERM;
}

static bool open_lock(struct store_disk *disk, GError **error)
{
    if (!disk->read_only) {
        disk->lock = openat(disk->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (disk->lock < 0 && !is_refusal(errno))
            return fault_errno(error, errno, "cannot open %s/lock", disk->path);
        disk->read_only = disk->lock < 0;
    }
    if (disk->lock < 0)
        disk->lock = openat(disk->directory, "lock", O_RDONLY | O_CLOEXEC);
    return store_disk_lock(disk, STORE_LOCK_OPEN, F_RDLCK, true) || disk->read_only ||
           fault_errno(error, errno, "cannot lock %s/lock", disk->path);
}

/* Nothing is made in a directory before it is known to be a store, or empty. */
static bool open_parts(struct store_disk *disk, size_t map_size, char **notice, GError **error)
{
    enum format format;
    if (!read_format(disk, &format, error) ||
        (format == FORMAT_MISSING && !is_vacant(disk, error)) || !open_lock(disk, error))
        return false;
    if (disk->read_only && format != FORMAT_OURS)
        return fault_set(error, FAULT_MISSING, "there is no store at %s", disk->path);
    if (!disk->read_only && format != FORMAT_OURS) {
        store_disk_lock(disk, STORE_LOCK_WRITE, F_WRLCK, true); /* one creator at a time */
        bool ok = make_store(disk, notice, error);
        store_disk_lock(disk, STORE_LOCK_WRITE, F_UNLCK, false);
        if (!ok)
            return false;
    }
    return (disk->read_only || make_directories(disk, error)) &&
           open_index(disk, map_size, notice, error);
}

static void disk_free(struct store_disk *disk)
{
    store_index_close(disk->index);
    if (disk->temporary >= 0)
        fd_remove_tree(disk->directory, disk->temporary_name, NULL);
    fd_close(&disk->temporary);
    g_free(disk->temporary_name);
    fd_close(&disk->lock);
    fd_close(&disk->directory);
    pthread_mutex_destroy(&disk->writer);
    pthread_mutex_destroy(&disk->staging);
    g_free(disk->path);
    g_free(disk);
}

static struct store_disk *disk_new(const char *path, int directory, const struct stat *status,
                                   bool read_only)
{
    struct store_disk *disk = g_new0(struct store_disk, 1);
    g_atomic_ref_count_init(&disk->references);
    disk->process = getpid();
    disk->device = status->st_dev;
    disk->inode = status->st_ino;
    disk->path = g_strdup(path);
    disk->directory = directory;
    disk->lock = disk->temporary = -1;
    disk->read_only = read_only;
    pthread_mutex_init(&disk->writer, NULL);
    pthread_mutex_init(&disk->staging, NULL);
    return disk;
}

static int open_directory(const char *path, bool read_only, GError **error)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 && errno == ENOENT && read_only) {
        fault_set(error, FAULT_MISSING, "there is no store at %s", path);
        return -1;
    }
    if (directory < 0 && errno == ENOENT) {
        if (!fd_make_directories(path, 0700, error))
            return -1;
        directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (directory < 0)
        fault_errno(error, errno, "cannot open the store %s", path);
    return directory;
}

/* One that is open already, not inherited over fork() and not damaged. Under registry_lock. */
static struct store_disk *find_open(const struct stat *status)
{
    for (GSList *item = registry; item != NULL; item = item->next) {
        struct store_disk *disk = item->data;
        if (disk->device == status->st_dev && disk->inode == status->st_ino &&
            disk->process == getpid() && disk->index != NULL && !atomic_load(&disk->index->damaged))
            return disk;
    }
    return NULL;
}

static struct store_disk *disk_open(const char *path, const struct store_options *options,
                                    char **notice, GError **error)
{
    autofd int directory = open_directory(path, options->read_only, error);
    struct stat status;
    if (directory < 0)
        return NULL;
    if (fstat(directory, &status) < 0) {
        fault_errno(error, errno, "cannot look at %s", path);
        return NULL;
    }
    struct store_disk *disk = find_open(&status);
    if (disk != NULL && disk->read_only && !options->read_only) {
        fault_set(error, FAULT_USAGE, "this process has the store %s open for reading only", path);
        return NULL;
    }
    if (disk != NULL) {
        g_atomic_ref_count_inc(&disk->references);
        return disk;
    }
    disk = disk_new(path, fd_steal(&directory), &status, options->read_only);
    if (!open_parts(disk, options->map_size, notice, error)) {
        disk_free(disk);
        return NULL;
    }
    registry = g_slist_prepend(registry, disk);
    return disk;
}

struct store *store_open(const char *path, const struct store_options *options, char **notice,
                         GError **error)
{
    static const struct store_options defaults;
    g_autofree char *said = NULL;
    g_autoptr(GError) cause = NULL;
    if (options == NULL)
        options = &defaults;
    pthread_mutex_lock(&registry_lock);
    struct store_disk *disk = disk_open(path, options, &said, &cause);
    pthread_mutex_unlock(&registry_lock);
    if (notice != NULL)
        *notice = g_steal_pointer(&said);
    if (disk == NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return NULL;
    }
    struct store_disk_store *store = g_new0(struct store_disk_store, 1);
    store->base = (struct store){
        .ops = &store_disk_ops,
        .path = g_strdup(path),
        .read_only = disk->read_only || options->read_only,
        .persistent = true,
        .inline_limit = options->inline_limit != 0 ? options->inline_limit : DEFAULT_INLINE_LIMIT,
    };
    store->disk = disk;
    return &store->base;
}

void store_disk_close(struct store *store)
{
    struct store_disk *disk = store_disk(store);
    pthread_mutex_lock(&registry_lock);
    if (g_atomic_ref_count_dec(&disk->references)) {
        registry = g_slist_remove(registry, disk);
        disk_free(disk);
    }
    pthread_mutex_unlock(&registry_lock);
    g_free(store);
}
