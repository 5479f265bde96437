// SPDX-License-Identifier: Apache-2.0
/*
 * Power loss at any moment: what a disk may hold then, built from a record of what was written and
 * what was synced.
 *
 * This program defines write(), pwrite(), rename() and the like itself, so that the store's calls
 * and LMDB's come by here, are recorded and then done. From the record, possible disks are made for
 * many moments: everything that was synced is there; of the rest each operation may be missing,
 * whatever came after it, and a write may have reached the disk in some of its sectors only. A
 * file's sync does not save its name: only a sync of the directory or of the whole file system
 * does. That is harsher than file systems with a journal are.
 *
 * On each such disk the store must open, hold every commit but the last one that returned
 * (MDB_NOMETASYNC), and nothing that is wrong.
 */
#include "store-test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* --- the record ------------------------------------------------------------------------------- */

enum operation {
    WRITE,     /* file, offset, data */
    TRUNCATE,  /* file, offset: the new size */
    EXTEND,    /* file, offset: the least size */
    CREATE,    /* directory, name, file */
    REMOVE,    /* directory, name */
    RENAME,    /* directory, name, to, to_name, file */
    SYNC_FILE, /* file: its content, or its names if it is a directory */
    SYNC_ALL,
};

struct entry {
    enum operation operation;
    guint file, directory, to; /* numbers that are never used again, unlike inodes */
    goffset offset;
    GBytes *data;
    char *name, *to_name;
    bool is_directory;
};

static struct {
    bool on;
    char *root;
    GPtrArray *entries;  /* of struct entry */
    GHashTable *numbers; /* inode -> number of the file that has it now */
    guint files;
} tape;

static void entry_free(void *data)
{
    struct entry *entry = data;
    g_clear_pointer(&entry->data, g_bytes_unref);
    g_free(entry->name);
    g_free(entry->to_name);
    g_free(entry);
}

static void note(struct entry entry)
{
    struct entry *kept = g_new(struct entry, 1);
    *kept = entry;
    g_ptr_array_add(tape.entries, kept);
}

/* 0: not a file of the store. */
static guint number_of(ino_t inode)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(tape.numbers, GSIZE_TO_POINTER(inode)));
}

static guint number_of_open(int descriptor)
{
    struct stat status;
    return tape.on && fstat(descriptor, &status) == 0 ? number_of(status.st_ino) : 0;
}

static guint number_of_path(int directory, const char *path)
{
    struct stat status;
    return fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? number_of(status.st_ino)
                                                                       : 0;
}

static guint parent_of(int directory, const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    return number_of_path(directory, parent);
}

static void note_create(int directory, const char *path, bool is_directory)
{
    struct stat status;
    guint parent = parent_of(directory, path);
    if (parent == 0 || fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    g_hash_table_insert(tape.numbers, GSIZE_TO_POINTER(status.st_ino),
                        GUINT_TO_POINTER(++tape.files));
    note((struct entry){ .operation = CREATE,
                         .directory = parent,
                         .name = g_path_get_basename(path),
                         .file = tape.files,
                         .is_directory = is_directory });
}

static void note_write(guint file, goffset offset, const void *data, size_t size)
{
    note((struct entry){
        .operation = WRITE, .file = file, .offset = offset, .data = g_bytes_new(data, size) });
}

/* --- the calls -------------------------------------------------------------------------------- */

/* Under their own names, whatever _FILE_OFFSET_BITS makes of those in headers. */
#define HOOK(name) __asm__(name)
#define SAME_AS(name) __attribute__((alias(name)))

int hook_openat(int directory, const char *path, int flags, ...) HOOK("openat");
int hook_openat64(int directory, const char *path, int flags, ...) HOOK("openat64")
    SAME_AS("openat");
int hook_open(const char *path, int flags, ...) HOOK("open");
int hook_open64(const char *path, int flags, ...) HOOK("open64") SAME_AS("open");
ssize_t hook_write(int file, const void *data, size_t size) HOOK("write");
ssize_t hook_pwrite(int file, const void *data, size_t size, off_t at) HOOK("pwrite");
ssize_t hook_pwrite64(int file, const void *data, size_t size, off_t at) HOOK("pwrite64")
    SAME_AS("pwrite");
ssize_t hook_writev(int file, const struct iovec *parts, int count) HOOK("writev");
int hook_fallocate(int file, off_t offset, off_t size) HOOK("posix_fallocate");
int hook_fallocate64(int file, off_t offset, off_t size) HOOK("posix_fallocate64")
    SAME_AS("posix_fallocate");
int hook_fsync(int file) HOOK("fsync");
int hook_fdatasync(int file) HOOK("fdatasync");
int hook_syncfs(int file) HOOK("syncfs");
int hook_renameat(int from, const char *path, int to, const char *to_path) HOOK("renameat");
int hook_unlinkat(int directory, const char *path, int flags) HOOK("unlinkat");
int hook_mkdirat(int directory, const char *path, mode_t mode) HOOK("mkdirat");
int hook_mkdir(const char *path, mode_t mode) HOOK("mkdir");

static int open_recorded(int directory, const char *path, int flags, mode_t mode)
{
    bool before = tape.on && faccessat(directory, path, F_OK, 0) == 0;
    int file = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (!tape.on || file < 0)
        return file;
    if (!before && (flags & O_CREAT) != 0)
        note_create(directory, path, false);
    else if ((flags & O_TRUNC) != 0 && number_of_open(file) != 0)
        note((struct entry){ .operation = TRUNCATE, .file = number_of_open(file) });
    return file;
}

int hook_openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_recorded(directory, path, flags, mode);
}

int hook_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_recorded(AT_FDCWD, path, flags, mode);
}

/* Where write() without an offset will write, or has written. */
static goffset position(int file)
{
    struct stat status;
    if ((fcntl(file, F_GETFL) & O_APPEND) != 0 && fstat(file, &status) == 0)
        return status.st_size;
    return lseek(file, 0, SEEK_CUR);
}

ssize_t hook_write(int file, const void *data, size_t size)
{
    guint number = number_of_open(file);
    goffset at = number != 0 ? position(file) : 0;
    ssize_t count = (ssize_t)syscall(SYS_write, file, data, size);
    if (number != 0 && count > 0)
        note_write(number, at, data, (size_t)count);
    return count;
}

ssize_t hook_pwrite(int file, const void *data, size_t size, off_t at)
{
    guint number = number_of_open(file);
    ssize_t count = (ssize_t)syscall(SYS_pwrite64, file, data, size, at);
    if (number != 0 && count > 0)
        note_write(number, at, data, (size_t)count);
    return count;
}

ssize_t hook_writev(int file, const struct iovec *parts, int count)
{
    guint number = number_of_open(file);
    goffset at = number != 0 ? position(file) : 0;
    ssize_t written = (ssize_t)syscall(SYS_writev, file, parts, count);
    for (int i = 0; number != 0 && written > 0 && i < count; i++) {
        note_write(number, at, parts[i].iov_base, parts[i].iov_len);
        at += (goffset)parts[i].iov_len;
    }
    return written;
}

int hook_fallocate(int file, off_t offset, off_t size)
{
    guint number = number_of_open(file);
    if (syscall(SYS_fallocate, file, 0, offset, size) < 0)
        return errno;
    if (number != 0)
        note((struct entry){ .operation = EXTEND, .file = number, .offset = offset + size });
    return 0;
}

static int sync_recorded(int file)
{
    guint number = number_of_open(file);
    if (number != 0)
        note((struct entry){ .operation = SYNC_FILE, .file = number });
    return 0;
}

int hook_fsync(int file)
{
    return sync_recorded(file);
}

int hook_fdatasync(int file)
{
    return sync_recorded(file);
}

int hook_syncfs(int file)
{
    if (tape.on)
        note((struct entry){ .operation = SYNC_ALL });
    return 0;
}

int hook_renameat(int from, const char *path, int to, const char *to_path)
{
    struct entry entry = { .operation = RENAME };
    if (tape.on) {
        entry.directory = parent_of(from, path);
        entry.to = parent_of(to, to_path);
        entry.file = number_of_path(from, path);
    }
    int result = (int)syscall(SYS_renameat, from, path, to, to_path);
    if (result == 0 && entry.file != 0) {
        entry.name = g_path_get_basename(path);
        entry.to_name = g_path_get_basename(to_path);
        note(entry);
    }
    return result;
}

int hook_unlinkat(int directory, const char *path, int flags)
{
    guint parent = tape.on ? parent_of(directory, path) : 0;
    int result = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (result == 0 && parent != 0)
        note((struct entry){
            .operation = REMOVE, .directory = parent, .name = g_path_get_basename(path) });
    return result;
}

int hook_mkdirat(int directory, const char *path, mode_t mode)
{
    int result = (int)syscall(SYS_mkdirat, directory, path, mode);
    if (result == 0 && tape.on)
        note_create(directory, path, true);
    return result;
}

int hook_mkdir(const char *path, mode_t mode)
{
    return hook_mkdirat(AT_FDCWD, path, mode);
}

static void tape_start(const char *scratch)
{
    struct stat status;
    tape.root = g_build_filename(scratch, "store", NULL);
    g_assert_cmpint(mkdir(tape.root, 0700), ==, 0);
    g_assert_cmpint(stat(tape.root, &status), ==, 0);
    tape.entries = g_ptr_array_new_with_free_func(entry_free);
    tape.numbers = g_hash_table_new(NULL, NULL);
    tape.files = 1;
    g_hash_table_insert(tape.numbers, GSIZE_TO_POINTER(status.st_ino), GUINT_TO_POINTER(1));
    tape.on = true;
}

static void tape_end(void)
{
    tape.on = false;
    g_free(tape.root);
    g_ptr_array_unref(tape.entries);
    g_hash_table_unref(tape.numbers);
}

/* --- a disk after power loss ------------------------------------------------------------------ */

struct file {
    GByteArray *content;
    GHashTable *names; /* char * -> number; NULL: not a directory */
};

struct disk {
    GArray *files; /* of struct file, by number */
    GRand *random;
    guint keep_data, keep_names, tear; /* chances of 100 */
};

static struct file *file_at(const struct disk *disk, guint number)
{
    return &g_array_index(disk->files, struct file, number);
}

static bool chance(const struct disk *disk, guint percent)
{
    return g_rand_int_range(disk->random, 0, 100) < (gint32)percent;
}

/* For each entry before `moment`: was it synced before then? */
static bool *find_synced(guint moment)
{
    bool *synced = g_new0(bool, moment + 1);
    bool all = false;
    g_autoptr(GHashTable) files = g_hash_table_new(NULL, NULL);
    for (guint i = moment; i-- > 0;) {
        const struct entry *entry = tape.entries->pdata[i];
        bool names = entry->operation >= CREATE && entry->operation <= RENAME;
        guint file = entry->operation == RENAME ? entry->to
                     : names                    ? entry->directory
                                                : entry->file;
        synced[i] = all || g_hash_table_contains(files, GUINT_TO_POINTER(file));
        all = all || entry->operation == SYNC_ALL;
        if (entry->operation == SYNC_FILE)
            g_hash_table_add(files, GUINT_TO_POINTER(entry->file));
    }
    return synced;
}

static void grow(GByteArray *content, gsize size)
{
    guint before = content->len;
    if (size <= before)
        return;
    g_byte_array_set_size(content, (guint)size);
    memset(content->data + before, 0, size - before);
}

static void apply_write(const struct disk *disk, const struct entry *entry, bool whole)
{
    GByteArray *content = file_at(disk, entry->file)->content;
    gsize size, begin = (gsize)entry->offset;
    const guint8 *data = g_bytes_get_data(entry->data, &size);
    bool torn = !whole && chance(disk, disk->tear);
    for (gsize at = 0; at < size;) {
        gsize sector = MIN(512 - (begin + at) % 512, size - at);
        if (!torn || chance(disk, 50)) {
            grow(content, begin + at + sector);
            memcpy(content->data + begin + at, data + at, sector);
        }
        at += sector;
    }
}

static void put_name(const struct disk *disk, guint directory, const char *name, guint file)
{
    g_hash_table_insert(file_at(disk, directory)->names, g_strdup(name), GUINT_TO_POINTER(file));
}

static void apply(const struct disk *disk, const struct entry *entry, bool whole)
{
    switch (entry->operation) {
    case WRITE:
        apply_write(disk, entry, whole);
        break;
    case TRUNCATE:
        g_byte_array_set_size(file_at(disk, entry->file)->content, (guint)entry->offset);
        break;
    case EXTEND:
        grow(file_at(disk, entry->file)->content, (gsize)entry->offset);
        break;
    case CREATE:
        put_name(disk, entry->directory, entry->name, entry->file);
        break;
    case REMOVE:
        g_hash_table_remove(file_at(disk, entry->directory)->names, entry->name);
        break;
    case RENAME:
        if (g_hash_table_lookup(file_at(disk, entry->directory)->names, entry->name) ==
            GUINT_TO_POINTER(entry->file))
            g_hash_table_remove(file_at(disk, entry->directory)->names, entry->name);
        put_name(disk, entry->to, entry->to_name, entry->file);
        break;
    default:
        break;
    }
}

static void write_out(const struct disk *disk, guint number, const char *path)
{
    const struct file *file = file_at(disk, number);
    if (file->names == NULL) {
        autofd int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        g_assert_true(fd_write_all(out, file->content->data, file->content->len, path, NULL));
        return;
    }
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
    GHashTableIter iter;
    void *name, *below;
    g_hash_table_iter_init(&iter, file->names);
    while (g_hash_table_iter_next(&iter, &name, &below)) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        write_out(disk, GPOINTER_TO_UINT(below), child);
    }
}

static void file_clear(void *data)
{
    struct file *file = data;
    g_byte_array_unref(file->content);
    g_clear_pointer(&file->names, g_hash_table_unref);
}

static GHashTable *new_names(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void make_files(struct disk *disk)
{
    disk->files = g_array_new(FALSE, TRUE, sizeof(struct file));
    g_array_set_clear_func(disk->files, file_clear);
    g_array_set_size(disk->files, tape.files + 1);
    for (guint i = 0; i <= tape.files; i++)
        file_at(disk, i)->content = g_byte_array_new();
    file_at(disk, 1)->names = new_names();
    for (guint i = 0; i < tape.entries->len; i++) {
        const struct entry *entry = tape.entries->pdata[i];
        if (entry->operation == CREATE && entry->is_directory)
            file_at(disk, entry->file)->names = new_names();
    }
}

/* Write at `path` a disk that may be found after power was lost before entry `moment`. */
static void lose_power(guint moment, guint seed, const char *path)
{
    static const guint chances[] = { 0, 50, 90, 100 };
    struct disk disk = { .random = g_rand_new_with_seed(seed) };
    disk.keep_data = chances[g_rand_int_range(disk.random, 0, 4)];
    disk.keep_names = chances[g_rand_int_range(disk.random, 0, 4)];
    disk.tear = chances[g_rand_int_range(disk.random, 0, 2)] / 2;
    make_files(&disk);
    g_autofree bool *synced = find_synced(moment);
    for (guint i = 0; i < moment; i++) {
        const struct entry *entry = tape.entries->pdata[i];
        bool names = entry->operation >= CREATE && entry->operation <= RENAME;
        if (synced[i] || chance(&disk, names ? disk.keep_names : disk.keep_data))
            apply(&disk, entry, synced[i]);
    }
    g_assert_true(fd_remove_tree(AT_FDCWD, path, NULL));
    write_out(&disk, 1, path);
    g_array_unref(disk.files);
    g_rand_free(disk.random);
}

/* --- what is written -------------------------------------------------------------------------- */

enum {
    COMMITS = 40,
    COLLECTION = 25,
    REOPENING = 12
};

static const struct store_options options = { .map_size = 1 << 20, .inline_limit = 6000 };

enum {
    EACH = 3
}; /* blobs of a commit: tiny, of several pages, a file */

static struct {
    unsigned commits;
    char *content[COMMITS + 1][EACH];
    struct digest digest[COMMITS + 1][EACH];
    char *result[COMMITS + 1];
    guint returned[COMMITS + 1]; /* moment when this commit returned */
    bool evicted[COMMITS + 1];
    guint collecting; /* moment when collection began */
    gsize padding;    /* bytes added to each blob in the index */
} model;

static void fill_commit(unsigned number)
{
    static const gsize sizes[EACH] = { 40, 5000, 7000 };
    GString *result = g_string_new(NULL);
    g_string_printf(result, "%u", number);
    for (unsigned which = 0; which < EACH; which++) {
        gsize size = sizes[which] + number + (which < 2 ? model.padding : 0);
        char *text = g_strnfill(size, (char)('a' + number % 26)), printed[DIGEST_TEXT_SIZE];
        g_autofree char *head = g_strdup_printf("%u %u", number, which);
        memcpy(text, head, strlen(head));
        model.content[number][which] = text;
        digest_of(text, size, &model.digest[number][which]);
        g_string_append_printf(result, " %s", digest_print(&model.digest[number][which], printed));
    }
    model.result[number] = g_string_free(result, FALSE);
}

static void model_start(unsigned commits, gsize padding)
{
    memset(&model, 0, sizeof model);
    model.commits = commits;
    model.padding = padding;
    for (unsigned number = 1; number <= commits; number++)
        fill_commit(number);
}

static void model_end(void)
{
    for (unsigned number = 1; number <= model.commits; number++) {
        for (unsigned which = 0; which < EACH; which++)
            g_free(model.content[number][which]);
        g_free(model.result[number]);
    }
}

static bool describe(enum store_table table, GBytes *key, GBytes *value,
                     struct store_reference *out, void *user)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(value, NULL), g_bytes_get_size(value));
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    out->last_use = g_ascii_strtoll(words[0], NULL, 10);
    for (char **word = words + 1; *word != NULL; word++) {
        struct digest digest;
        if (!digest_parse(*word, &digest, NULL))
            return false;
        g_array_append_val(out->blobs, digest);
    }
    return true;
}

static void write_commit(struct store *store, unsigned number)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    for (unsigned which = 0; which < EACH; which++)
        put(batch, model.content[number][which], &digest);
    g_autofree char *key = g_strdup_printf("r%u", number);
    g_autofree char *counter = g_strdup_printf("%u", number);
    const char *value = model.result[number];
    g_autoptr(GBytes) bytes = g_bytes_new(value, strlen(value));
    store_batch_put_record(batch, STORE_RESULTS, key, strlen(key), bytes);
    put_record(batch, "counter", counter);
    commit(batch);
    model.returned[number] = tape.entries->len;
    g_assert_true(store_log_append(store, bytes, NULL));
}

static GBytes *result_of(struct store *store, unsigned number)
{
    g_autofree char *key = g_strdup_printf("r%u", number);
    return store_record_get(store, STORE_RESULTS, key, strlen(key));
}

static void collect_garbage(struct store *store)
{
    struct store_gc_result result;
    g_autoptr(GError) error = NULL;
    model.collecting = tape.entries->len;
    store_gc(store, 10 * (12000 + 2 * (model.padding + 100)), describe, NULL, &result, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(result.evicted, >, 5);
    for (unsigned i = 1; i <= COLLECTION; i++) {
        g_autoptr(GBytes) kept = result_of(store, i);
        model.evicted[i] = kept == NULL;
    }
}

static void write_all(const char *scratch)
{
    struct store *store = open_quietly(scratch, &options);
    for (unsigned number = 1; number <= model.commits; number++) {
        write_commit(store, number);
        if (number == REOPENING) {
            store_close(store);
            store = open_quietly(scratch, &options);
        }
        if (number == COLLECTION)
            collect_garbage(store);
    }
    store_close(store);
}

/* --- what must be found ----------------------------------------------------------------------- */

static bool check_entry(GBytes *entry, void *user)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(entry, NULL), g_bytes_get_size(entry));
    guint64 number = g_ascii_strtoull(text, NULL, 10);
    g_assert_cmpuint(number, >, 0);
    g_assert_cmpuint(number, <=, model.commits);
    g_assert_cmpstr(text, ==, model.result[number]);
    return true;
}

/* Commit `number` is there, or what there is of it is right. */
static void check_commit(struct store *store, unsigned number, bool must)
{
    g_autoptr(GBytes) found = result_of(store, number);
    if (found != NULL)
        assert_bytes(found, model.result[number]);
    g_assert_true(found != NULL || !must);
    for (unsigned which = 0; which < EACH; which++) {
        g_autoptr(GBytes) bytes = store_get(store, &model.digest[number][which], NULL);
        if (bytes != NULL)
            assert_bytes(bytes, model.content[number][which]);
        g_assert_true(bytes != NULL || !must);
    }
}

static void check_counter(struct store *store, unsigned returned)
{
    g_autoptr(GBytes) found = store_record_get(store, STORE_MEMO, "counter", 7);
    g_autofree char *text = found == NULL
                                ? g_strdup("0")
                                : g_strndup(g_bytes_get_data(found, NULL), g_bytes_get_size(found));
    guint64 counter = g_ascii_strtoull(text, NULL, 10);
    g_assert_cmpuint(counter, <=, returned + 1);
    g_assert_cmpuint(counter + 1, >=, returned);
}

static void check_disk(const char *scratch, guint moment)
{
    unsigned returned = 0;
    while (returned < model.commits && model.returned[returned + 1] <= moment)
        returned++;
    g_autoptr(GError) error = NULL;
    g_autofree char *notice = NULL, *path = g_build_filename(scratch, "store", NULL);
    struct store *store = store_open(path, &options, &notice, &error);
    g_assert_no_error(error);
    if (returned > 0) /* before that, there is nothing to lose */
        g_assert_cmpstr(notice, ==, NULL);
    for (unsigned number = 1; number <= model.commits; number++)
        check_commit(store, number,
                     number < returned && !(model.evicted[number] && moment > model.collecting));
    check_counter(store, returned);
    store_log_each(store, check_entry, NULL);

    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "life goes on", &digest);
    put_record(batch, "new", "value");
    commit(batch);
    store_batch_free(g_steal_pointer(&batch));
    store_close(store);
    store = open_quietly(scratch, &options);
    assert_blob(store, &digest, "life goes on");
    assert_record(store, "new", "value");
    store_close(store);
}

static void run(guint first, guint last, guint disks)
{
    char *scratch = scratch_new();
    g_autofree char *path = g_build_filename(scratch, "store", NULL);
    for (guint i = 0; i < disks; i++) {
        guint moment = first + (last - first) * i / MAX(disks - 1, 1);
        g_test_message("moment %u, seed %u", moment, i);
        lose_power(moment, i, path);
        check_disk(scratch, moment);
    }
    scratch_free(scratch);
}

static void no_moment_of_power_loss_makes_a_false_store(void)
{
    char *scratch = scratch_new();
    model_start(COMMITS, 0);
    tape_start(scratch);
    write_all(scratch);
    tape.on = false;
    run(0, model.returned[1], 60);
    run(0, tape.entries->len, g_test_slow() ? 5000 : 400);
    run(model.collecting, model.returned[COLLECTION + 1], 60);
    tape_end();
    model_end();
    scratch_free(scratch);
}

/* Large enough for collection to write the index anew. */
static void a_compacted_index_survives_power_loss(void)
{
    char *scratch = scratch_new();
    model_start(COLLECTION + 1, 150000);
    static const struct store_options large = { .map_size = 1 << 20, .inline_limit = 1 << 20 };
    tape_start(scratch);
    struct store *store = open_quietly(scratch, &large);
    for (unsigned number = 1; number <= COLLECTION; number++)
        write_commit(store, number);
    struct store_statistics before, after;
    g_assert_true(store_statistics(store, &before, NULL));
    collect_garbage(store);
    g_assert_true(store_statistics(store, &after, NULL));
    g_assert_cmpuint(after.disk_bytes, <, before.disk_bytes - (4 << 20));
    write_commit(store, COLLECTION + 1);
    store_close(store);
    tape.on = false;
    run(model.collecting, tape.entries->len, 20);
    tape_end();
    model_end();
    scratch_free(scratch);
}

/* Does the simulator lose anything at all? Without it this test would pass on a tape of nothing. */
static void what_is_not_synced_can_be_lost(void)
{
    char *scratch = scratch_new();
    g_autofree char *path = g_build_filename(scratch, "lost", NULL);
    tape_start(scratch);
    g_autofree char *file_path = g_build_filename(tape.root, "file", NULL);
    autofd int directory = open(tape.root, O_RDONLY | O_DIRECTORY);
    autofd int file = open(file_path, O_WRONLY | O_CREAT, 0600);
    g_autofree char *text = g_strnfill(4096, 'x');
    g_assert_true(fd_write_all(file, text, 4096, "file", NULL));
    guint written = tape.entries->len;
    g_assert_cmpint(fsync(file) | fsync(directory), ==, 0);
    guint synced = tape.entries->len;
    tape.on = false;
    guint absent = 0, empty = 0, torn = 0, whole = 0, saved = 0;
    for (guint seed = 0; seed < 200; seed++)
        for (guint round = 0; round < 2; round++) {
            g_autofree char *lost = g_build_filename(path, "file", NULL), *found = NULL;
            gsize size = 0;
            lose_power(round == 0 ? written : synced, seed, path);
            bool there = g_file_get_contents(lost, &found, &size, NULL);
            bool intact = there && size == 4096 && memcmp(found, text, size) == 0;
            saved += round == 1 && intact;
            absent += round == 0 && !there;
            empty += round == 0 && there && size == 0;
            torn += round == 0 && there && size > 0 && !intact;
            whole += round == 0 && intact;
        }
    g_assert_cmpuint(saved, ==, 200);
    g_assert_cmpuint(absent, >, 10);
    g_assert_cmpuint(empty, >, 10);
    g_assert_cmpuint(torn, >, 3);
    g_assert_cmpuint(whole, >, 10);
    tape_end();
    scratch_free(scratch);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/crash/what-is-not-synced-can-be-lost", what_is_not_synced_can_be_lost);
    g_test_add_func("/store/crash/no-moment-of-power-loss-makes-a-false-store",
                    no_moment_of_power_loss_makes_a_false_store);
    g_test_add_func("/store/crash/a-compacted-index-survives-power-loss",
                    a_compacted_index_survives_power_loss);
    return g_test_run();
}
