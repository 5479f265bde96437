// SPDX-License-Identifier: Apache-2.0
/*
 * One file or link of a directory: known by its identity, or read, and read again if it moves.
 *
 * A file is opened so that neither a FIFO nor a device can block or act, and is believed to be a
 * file only once fstat says so of what was opened. Its identity is taken from the open file before
 * and after its bytes; the two must agree.
 */
#include "store/capture-walk.h"
#include "store/pump.h"

#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define TRIES 4 /* once, and thrice again */

/* Files larger than this have a part of their own: hashing takes longer than handing over. */
#define DEFER_SIZE (32 * 1024)

#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

enum outcome {
    OUTCOME_DONE,
    OUTCOME_CHANGED, /* try again */
    OUTCOME_GONE,
    OUTCOME_FAILED, /* with an error */
};

static char *quote(const struct reading *reading, const struct entry *entry)
{
    return capture_quote(reading->walk->request->name, reading->node->path, entry->tree.name);
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* Hash `size` bytes and see the end of the file. */
static enum outcome hash_only(const volatile int *cancel, int file, gint64 size,
                              struct scratch *scratch, struct digest *out, const char *what,
                              GError **error)
{
    const struct pump bytes = {
        .from = file,
        .to = -1,
        .size = size,
        .what = what,
        .cancel = cancel,
        .buffer = scratch->bytes,
        .buffer_size = SCRATCH_SIZE,
    };
    if (pump_bytes(&bytes, out, error) != PUMP_DONE)
        return OUTCOME_FAILED;
    return out->size == size ? OUTCOME_DONE : OUTCOME_CHANGED;
}

static enum outcome put_small(struct reading *reading, int file, gint64 size, struct digest *out,
                              const char *what, GError **error)
{
    gssize count = fd_read_full(file, reading->scratch->bytes, SCRATCH_SIZE, what, error);
    if (count < 0)
        return OUTCOME_FAILED;
    if (count != size)
        return OUTCOME_CHANGED;
    return store_batch_put(reading->walk->request->batch, reading->scratch->bytes, (size_t)count,
                           out, error)
               ? OUTCOME_DONE
               : OUTCOME_FAILED;
}

static enum outcome put_large(struct reading *reading, int file, gint64 size, struct digest *out,
                              const char *what, GError **error)
{
    g_autoptr(GError) problem = NULL;
    if (store_batch_put_file(reading->walk->request->batch, file, size, what,
                             reading->walk->request->cancel, out, &problem))
        return OUTCOME_DONE;
    if (g_error_matches(problem, FAULT, FAULT_CHANGED))
        return OUTCOME_CHANGED;
    g_propagate_error(error, g_steal_pointer(&problem));
    return OUTCOME_FAILED;
}

static enum outcome read_bytes(struct reading *reading, const struct entry *entry, int file,
                               gint64 size, struct digest *out, GError **error)
{
    g_autofree char *what = quote(reading, entry);
    if (reading->walk->request->batch == NULL)
        return hash_only(reading->walk->request->cancel, file, size, reading->scratch, out, what,
                         error);
    if (size < SCRATCH_SIZE)
        return put_small(reading, file, size, out, what, error);
    return put_large(reading, file, size, out, what, error);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum outcome refuse(struct reading *reading, struct entry *entry, GError **error)
{
    int number = errno;
    if (number == ENOENT)
        return OUTCOME_GONE;
    if (number == ELOOP || number == ENXIO || number == ENODEV)
        return OUTCOME_CHANGED; /* by now a link, a FIFO or socket, a device */
    if ((number != EACCES && number != EPERM) || !reading->walk->request->outputs) {
        g_autofree char *what = quote(reading, entry);
        fault_errno(error, number, "cannot read %s", what);
        return OUTCOME_FAILED;
    }
    entry->state = ENTRY_LEFT_OUT;
    walk_unsupported(reading->walk, reading->node, entry->tree.name, NULL, FAULT_IO,
                     g_strerror(number));
    return OUTCOME_DONE;
}

static enum outcome leave_out(struct reading *reading, struct entry *entry, const char *why,
                              GError **error)
{
    entry->state = ENTRY_LEFT_OUT;
    return walk_unsupported(reading->walk, reading->node, entry->tree.name, error,
                            FAULT_UNSUPPORTED, why)
               ? OUTCOME_DONE
               : OUTCOME_FAILED;
}

/* What the record shall say from now on: this, or nothing while the entry is too young. */
static void learn(struct reading *reading, struct entry *entry, const struct stat *status,
                  enum stat_kind kind, gint64 began)
{
    struct stat_entry fresh = {
        .name = entry->tree.name,
        .kind = kind,
        .hash = entry->tree.digest.hash,
        .target = entry->tree.target,
    };
    stat_identify(status, &fresh.identity);
    if (entry->known.kind == kind && kind != STAT_LINK &&
        stat_matches(&entry->known.identity, &fresh.identity) &&
        memcmp(entry->known.hash, fresh.hash, DIGEST_HASH_SIZE) == 0)
        return; /* read for its bytes: the store had lost them */
    entry->known.kind = STAT_NONE;
    if (reading->walk->request->cache == NULL || status->st_dev != reading->node->device ||
        stat_is_racy(&fresh.identity, began, &reading->node->clock))
        return;
    entry->known = fresh;
    g_atomic_int_set(&reading->node->learned, 1);
}

static bool is_known(const struct reading *reading, const struct entry *entry,
                     const struct stat *status, enum stat_kind kind)
{
    struct stat_identity identity;
    stat_identify(status, &identity);
    return entry->known.kind == kind && status->st_dev == reading->node->device &&
           stat_matches(&entry->known.identity, &identity);
}

static enum stat_kind file_kind(const struct stat *status)
{
    return (status->st_mode & S_IXUSR) != 0 ? STAT_EXECUTABLE : STAT_FILE;
}

static void finish_file(struct reading *reading, struct entry *entry, const struct stat *status)
{
    entry->tree.kind = TREE_FILE;
    entry->tree.executable = file_kind(status) == STAT_EXECUTABLE;
    entry->state = ENTRY_DONE;
    reading->tally->files++;
    reading->tally->newest = MAX(reading->tally->newest, fd_nanoseconds(status->st_mtim));
}

static enum outcome read_file(struct reading *reading, struct entry *entry, GError **error)
{
    struct stat before, after;
    struct stat_identity first, last;
    gint64 began = stat_now();
    autofd int file = openat(reading->directory, entry->tree.name, OPEN_FLAGS);
    if (file < 0 || fstat(file, &before) < 0)
        return refuse(reading, entry, error);
    if (!S_ISREG(before.st_mode))
        return OUTCOME_CHANGED;
    enum outcome outcome =
        read_bytes(reading, entry, file, before.st_size, &entry->tree.digest, error);
    if (outcome != OUTCOME_DONE)
        return outcome;
    if (fstat(file, &after) < 0)
        return refuse(reading, entry, error);
    stat_identify(&before, &first);
    stat_identify(&after, &last);
    if (!stat_matches(&first, &last))
        return OUTCOME_CHANGED;
    finish_file(reading, entry, &after);
    learn(reading, entry, &after, file_kind(&after), began);
    reading->tally->files_hashed++;
    reading->tally->bytes_hashed += (guint64)after.st_size;
    crew_consider(reading->crew);
    return OUTCOME_DONE;
}

static enum outcome take_file(struct reading *reading, struct entry *entry,
                              const struct stat *status, GError **error)
{
    const struct store_batch *batch = reading->walk->request->batch;
    if (is_known(reading, entry, status, file_kind(status))) {
        memcpy(entry->tree.digest.hash, entry->known.hash, DIGEST_HASH_SIZE);
        entry->tree.digest.size = status->st_size;
        if (batch == NULL || reading->walk->trusting ||
            store_has(reading->walk->store, &entry->tree.digest)) {
            finish_file(reading, entry, status);
            return OUTCOME_DONE;
        }
    }
    if (reading->may_defer && status->st_size > DEFER_SIZE)
        return OUTCOME_DONE; /* still wanted */
    return read_file(reading, entry, error);
}

/* --- links ------------------------------------------------------------------------------------ */

/* By descriptor, so that the target belongs to the identity. */
static enum outcome read_link(struct reading *reading, struct entry *entry, struct stat *status,
                              GError **error)
{
    gint64 began = stat_now();
    autofd int link = openat(reading->directory, entry->tree.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (link < 0 || fstat(link, status) < 0)
        return refuse(reading, entry, error);
    if (!S_ISLNK(status->st_mode))
        return OUTCOME_CHANGED;
    char *target = g_malloc(PATH_MAX);
    ssize_t length = readlinkat(link, "", target, PATH_MAX);
    if (length < 0 || length == PATH_MAX) {
        errno = length < 0 ? errno : ENAMETOOLONG;
        g_free(target);
        return refuse(reading, entry, error);
    }
    target[length] = '\0';
    entry->tree.target = g_realloc(target, (gsize)length + 1);
    entry->owns_target = true;
    learn(reading, entry, status, STAT_LINK, began);
    return OUTCOME_DONE;
}

/*
 * A link never changes, it can only be replaced; a directory whose times are those of its record
 * still holds the same ones, which then need no look.
 */
static bool is_same_link(const struct reading *reading, const struct entry *entry)
{
    return reading->node->from_record && entry->known.kind == STAT_LINK;
}

static enum outcome take_link(struct reading *reading, struct entry *entry, struct stat *status,
                              GError **error)
{
    entry->tree.kind = TREE_SYMLINK;
    if (is_same_link(reading, entry) || is_known(reading, entry, status, STAT_LINK)) {
        entry->tree.target = entry->known.target;
    } else {
        enum outcome outcome = read_link(reading, entry, status, error);
        if (outcome != OUTCOME_DONE || entry->state == ENTRY_LEFT_OUT)
            return outcome;
    }
    entry->state = ENTRY_DONE;
    if (*entry->tree.target != '\0' && g_utf8_validate(entry->tree.target, -1, NULL))
        return OUTCOME_DONE;
    return leave_out(reading, entry, "is a link whose target is not UTF-8", error);
}

/* --- any entry -------------------------------------------------------------------------------- */

static const char *name_kind(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "is a FIFO";
    case S_IFSOCK:
        return "is a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "is a device";
    default:
        return "is of an unknown kind";
    }
}

static enum outcome try_entry(struct reading *reading, struct entry *entry, GError **error)
{
    struct stat status;
    if (is_same_link(reading, entry))
        return take_link(reading, entry, &status, error);
    if (fstatat(reading->directory, entry->tree.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return refuse(reading, entry, error);
    if (entry->known.kind == STAT_NONE && !g_utf8_validate(entry->tree.name, -1, NULL))
        return leave_out(reading, entry, "has a name that is not UTF-8", error);
    if (S_ISREG(status.st_mode))
        return take_file(reading, entry, &status, error);
    if (S_ISLNK(status.st_mode))
        return take_link(reading, entry, &status, error);
    if (S_ISDIR(status.st_mode))
        return OUTCOME_CHANGED; /* it was none when it was listed */
    if (S_ISFIFO(status.st_mode) && reading->walk->request->fifos) {
        entry->state = ENTRY_LEFT_OUT;
        walk_fifo(reading->walk, reading->node, entry->tree.name);
        return OUTCOME_DONE;
    }
    return leave_out(reading, entry, name_kind(status.st_mode), error);
}

bool capture_entry(struct reading *reading, struct entry *entry, GError **error)
{
    for (unsigned i = 0; i < TRIES; i++) {
        switch (try_entry(reading, entry, error)) {
        case OUTCOME_DONE:
            return true;
        case OUTCOME_FAILED:
            return false;
        case OUTCOME_GONE:
            entry->state = ENTRY_LEFT_OUT;
            return true;
        case OUTCOME_CHANGED:
            break;
        }
        if (entry->owns_target)
            g_free((char *)g_steal_pointer(&entry->tree.target));
        entry->owns_target = false;
        if (crew_stopped(reading->crew))
            return true;
    }
    g_autofree char *what = quote(reading, entry);
    return fault_set(error, FAULT_CHANGED, "%s kept changing while it was read", what);
}

/* --- a file outside of any tree --------------------------------------------------------------- */

/* Its record stands under its own inode, which no directory has, and holds one entry of no name. */
static bool recall(struct stat_cache *cache, const struct stat *status, struct digest *out)
{
    struct stat_reader reader;
    struct stat_entry known;
    struct stat_identity identity;
    g_autoptr(GBytes) record = stat_cache_get(cache, status->st_dev, status->st_ino);
    if (record == NULL)
        return false;
    stat_reader_init(&reader, record);
    stat_identify(status, &identity);
    if (!stat_reader_next(&reader, &known) || *known.name != '\0' || known.kind != STAT_FILE ||
        !stat_matches(&known.identity, &identity) || !stat_is_settled(&identity, &reader.header))
        return false;
    memcpy(out->hash, known.hash, DIGEST_HASH_SIZE);
    out->size = identity.size;
    return true;
}

static void remember(struct stat_cache *cache, const struct stat *status, gint64 began,
                     const struct stat_clock *clock, const struct digest *digest)
{
    const struct stat_header header = { .boot = stat_boot(), .recorded = stat_now(), .count = 1 };
    struct stat_entry fresh = { .name = "", .kind = STAT_FILE, .hash = digest->hash };
    stat_identify(status, &fresh.identity);
    if (stat_is_racy(&fresh.identity, began, clock))
        return;
    GByteArray *record = stat_record_new(&header);
    stat_record_add(record, &fresh);
    stat_cache_put(cache, status->st_dev, status->st_ino, record);
}

static enum outcome digest_once(struct stat_cache *cache, const char *path, const char *what,
                                struct digest *out, GError **error)
{
    struct stat before, after;
    struct stat_identity first, last;
    gint64 began = stat_now();
    autofd int file = open(path, OPEN_FLAGS & ~O_NOFOLLOW);
    if (file < 0 || fstat(file, &before) < 0) {
        fault_errno(error, errno, "cannot read %s", what);
        return OUTCOME_FAILED;
    }
    if (!S_ISREG(before.st_mode)) {
        fault_set(error, FAULT_UNSUPPORTED, "%s is not a file", what);
        return OUTCOME_FAILED;
    }
    if (cache != NULL && recall(cache, &before, out))
        return OUTCOME_DONE;
    g_autofree struct scratch *scratch = g_new(struct scratch, 1);
    enum outcome outcome =
        hash_only(stat_cache_cancel(cache), file, before.st_size, scratch, out, what, error);
    if (outcome != OUTCOME_DONE)
        return outcome;
    if (fstat(file, &after) < 0)
        return OUTCOME_CHANGED;
    stat_identify(&before, &first);
    stat_identify(&after, &last);
    if (!stat_matches(&first, &last))
        return OUTCOME_CHANGED;
    const struct stat_clock clock = stat_clock(file);
    if (cache != NULL)
        remember(cache, &after, began, &clock, out);
    return OUTCOME_DONE;
}

bool store_digest_file(struct stat_cache *cache, const char *path, struct digest *out,
                       GError **error)
{
    g_autofree char *what = path_quote(path);
    for (unsigned i = 0; i < TRIES; i++) {
        enum outcome outcome = digest_once(cache, path, what, out, error);
        if (outcome != OUTCOME_CHANGED)
            return outcome == OUTCOME_DONE;
    }
    return fault_set(error, FAULT_CHANGED, "%s kept changing while it was read", what);
}
