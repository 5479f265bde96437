// SPDX-License-Identifier: Apache-2.0
/*
 * The write: makes directories from above and fills each with files that are verified on their way.
 *
 * The work of a crew, as in capture.c. An item is a *part* of a directory: to make its
 * subdirectories, or to write some of its files. Each opens the directory by its path without
 * following a link, so that nothing planted in the destination leads out of it. The part that ends
 * last gives the directory its times: what is below its subdirectories does not change them.
 */
#include "store/materialize.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "store/capture-internal.h"
#include "store/materialize-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* A part is cut where it has this much to do; a file counts as its bytes and some for itself. */
#define PART_WEIGHT (4 * 1024 * 1024)
#define FILE_WEIGHT (16 * 1024)

struct place { /* a directory that is being written */
    struct place *next;
    const struct tree *tree;
    char *path;                    /* relative to the destination; "" for it */
    struct stat_identity *written; /* per entry, inode 0: unknown; NULL unless learning */
    guint64 device, inode;
    struct stat_clock clock;
    gint pending; /* atomic: parts that have not ended */
};

struct part {
    struct crew_item item; /* first */
    struct place *place;
    size_t from, to;
    bool first; /* makes the subdirectories, and the other parts */
};

struct writing {
    const struct materialize_request *request;
    pthread_mutex_t lock; /* guards places */
    struct place *places;
    guint64 device;   /* of the destination */
    atomic_bool fine; /* no two changes of a file on it have the same time: see observe() */
};

/* What writing an entry needs; one per part. */
struct target {
    struct writing *writing;
    struct place *place;
    int directory;
    guint8 *buffer;
};

static char *quote(const struct writing *writing, const struct place *place, const char *name)
{
    return capture_quote(writing->request->name, place->path, name);
}

static bool fail(const struct writing *writing, const struct place *place, const char *name,
                 const char *what, GError **error)
{
    int number = errno;
    g_autofree char *path = quote(writing, place, name);
    return fault_errno(error, number, "cannot %s %s", what, path);
}

static bool conflict(const struct writing *writing, const struct place *place, const char *name,
                     GError **error)
{
    g_autofree char *path = quote(writing, place, name);
    return fault_set(error, FAULT_CONFLICT, "%s exists already", path);
}

static struct place *new_place(const struct tree *tree, const char *path)
{
    struct place *place = g_new0(struct place, 1);
    place->tree = tree;
    place->path = g_strdup(path);
    return place;
}

static void free_place(void *data)
{
    struct place *place = data;
    g_free(place->path);
    g_free(place->written);
    g_free(place);
}

/* --- what is in the way ------------------------------------------------------------------------
 */

static bool is_empty(int directory)
{
    _Alignas(struct dirent64) char block[1024];
    ssize_t size;
    while ((size = getdents64(directory, block, sizeof block)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)(block + at);
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                return false;
            at += entry->d_reclen;
        }
    return size == 0;
}

static bool check_place(const struct writing *writing, const struct place *place,
                        GPtrArray *waiting, GError **error)
{
    autofd int directory =
        capture_open(writing->request->directory, place->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (directory < 0)
        return fail(writing, place, "", "open the directory", error);
    if (is_empty(directory))
        return true;
    for (size_t i = 0; i < tree_size(place->tree); i++) {
        const struct tree_entry *entry = tree_at(place->tree, i);
        struct stat status;
        if (fstatat(directory, entry->name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno != ENOENT)
                return fail(writing, place, entry->name, "look at", error);
        } else if (S_ISDIR(status.st_mode) && entry->kind == TREE_DIRECTORY) {
            g_autofree char *path = path_join(place->path, entry->name);
            g_ptr_array_add(waiting, new_place(entry->directory, path));
        } else if (S_ISDIR(status.st_mode) || !writing->request->overwrite) {
            return conflict(writing, place, entry->name, error);
        }
    }
    return true;
}

/* Before anything is written. A new destination is empty, and that is the end of it. */
static bool check(const struct writing *writing, GError **error)
{
    g_autoptr(GPtrArray) waiting = g_ptr_array_new();
    g_ptr_array_add(waiting, new_place(writing->request->tree, ""));
    bool ok = true;
    while (waiting->len > 0) {
        struct place *place = g_ptr_array_steal_index_fast(waiting, waiting->len - 1);
        ok = ok && check_place(writing, place, waiting, error);
        free_place(place);
    }
    return ok;
}

/* --- entries ---------------------------------------------------------------------------------- */

/*
 * Remember what an entry looks like, now that it is complete.
 *
 * It was written a moment ago, so by the racy rule nothing could be said of it. But since 6.13 some
 * file systems give a file whose times somebody has asked for a time of its own at its next change.
 * That this kernel does so shows in a change time later than the coarse clock, where all other
 * times come from; blob_create() asks before it sets the modification time.
 */
static void observe(const struct target *target, size_t index, const struct stat *status,
                    bool linked)
{
    struct place *place = target->place;
    struct stat_identity *written = &place->written[index];
    gint64 now = stat_now();
    stat_identify(status, written);
    if (linked)
        written->ctime = STAT_CTIME_ANY;
    if (written->ctime > now && place->clock.multigrain && place->device == target->writing->device)
        target->writing->fine = true;
}

static bool observe_name(const struct target *target, size_t index, bool linked, GError **error)
{
    struct stat status;
    const char *name = tree_at(target->place->tree, index)->name;
    if (target->place->written == NULL)
        return true;
    if (fstatat(target->directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(target->writing, target->place, name, "look at", error);
    observe(target, index, &status, linked);
    return true;
}

static int create_file(const struct blob_file *file, bool overwrite, GError **error)
{
    g_autoptr(GError) problem = NULL;
    int made = blob_create(file, &problem);
    if (made < 0 && overwrite && g_error_matches(problem, FAULT, FAULT_CONFLICT))
        return blob_replace(file, error);
    if (made < 0)
        g_propagate_error(error, g_steal_pointer(&problem));
    return made;
}

static bool write_file(const struct target *target, size_t index, GError **error)
{
    const struct materialize_request *request = target->writing->request;
    const struct tree_entry *entry = tree_at(target->place->tree, index);
    g_autofree char *what = quote(target->writing, target->place, entry->name);
    const struct blob_file file = {
        .store = request->store,
        .digest = &entry->digest,
        .directory = target->directory,
        .name = entry->name,
        .what = what,
        .mode = entry->executable ? 0777 : 0666,
        .mtime = request->mtime,
        .compiled_mtime = request->compiled_mtime,
        .owner = request->owner,
        .group = request->group,
        .observed = target->place->written != NULL,
        .cancel = request->cancel,
        .buffer = target->buffer,
    };
    bool linked = false;
    if (request->hard_links && !blob_link(&file, &linked, error))
        return false;
    if (linked)
        return observe_name(target, index, true, error);
    struct stat status;
    autofd int made = create_file(&file, request->overwrite, error);
    if (made < 0)
        return false;
    if (target->place->written == NULL)
        return true;
    if (fstat(made, &status) < 0)
        return fail(target->writing, target->place, entry->name, "look at", error);
    observe(target, index, &status, false);
    return true;
}

/* Remove what is in the way, if that was asked for and is no directory. */
static bool make_way(const struct target *target, const char *name, GError **error)
{
    if (!target->writing->request->overwrite)
        return conflict(target->writing, target->place, name, error);
    return unlinkat(target->directory, name, 0) == 0 || errno == ENOENT ||
           fail(target->writing, target->place, name, "replace", error);
}

static bool write_link(const struct target *target, size_t index, GError **error)
{
    const struct materialize_request *request = target->writing->request;
    const struct tree_entry *entry = tree_at(target->place->tree, index);
    while (symlinkat(entry->target, target->directory, entry->name) < 0) {
        if (errno != EEXIST)
            return fail(target->writing, target->place, entry->name, "create the link", error);
        if (!make_way(target, entry->name, error))
            return false;
    }
    if (request->owner != (uid_t)-1 || request->group != (gid_t)-1)
        if (fchownat(target->directory, entry->name, request->owner, request->group,
                     AT_SYMLINK_NOFOLLOW) < 0)
            return fail(target->writing, target->place, entry->name, "change the owner of", error);
    const struct timespec times[2] = { fd_timespec(request->mtime), fd_timespec(request->mtime) };
    if (request->mtime >= 0 &&
        utimensat(target->directory, entry->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(target->writing, target->place, entry->name, "set the time of", error);
    return observe_name(target, index, false, error);
}

/* --- directories ------------------------------------------------------------------------------ */

static bool make_directory(const struct target *target, const char *name, GError **error)
{
    while (mkdirat(target->directory, name, 0777) < 0) {
        struct stat status;
        if (errno != EEXIST)
            return fail(target->writing, target->place, name, "create the directory", error);
        if (fstatat(target->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode))
            return true;
        if (!make_way(target, name, error))
            return false;
    }
    return true;
}

static void push_part(struct crew *crew, const struct part *part)
{
    struct part *made = g_new(struct part, 1);
    *made = *part;
    g_atomic_int_inc(&part->place->pending);
    crew_push(crew, &made->item);
}

static void push_place(struct writing *writing, struct crew *crew, struct place *place)
{
    pthread_mutex_lock(&writing->lock);
    place->next = writing->places;
    writing->places = place;
    pthread_mutex_unlock(&writing->lock);
    push_part(crew, &(struct part){ .place = place, .first = true });
}

static bool make_directories(const struct target *target, struct crew *crew, GError **error)
{
    const struct tree *tree = target->place->tree;
    for (size_t i = 0; i < tree_size(tree); i++) {
        const struct tree_entry *entry = tree_at(tree, i);
        if (entry->kind != TREE_DIRECTORY)
            continue;
        if (!make_directory(target, entry->name, error))
            return false;
        g_autofree char *path = path_join(target->place->path, entry->name);
        push_place(target->writing, crew, new_place(entry->directory, path));
    }
    return true;
}

/* The first part takes what fits in one; the rest is cut up for others. */
static void cut(struct part *part, struct crew *crew)
{
    const struct tree *tree = part->place->tree;
    size_t count = tree_size(tree);
    bool own = true;
    for (size_t from = 0, to = 0; from < count; from = to) {
        gint64 weight = 0;
        for (; to < count && weight < PART_WEIGHT; to++)
            weight += MIN(tree_at(tree, to)->digest.size, PART_WEIGHT) + FILE_WEIGHT;
        if (own)
            part->to = to;
        else
            push_part(crew, &(struct part){ .place = part->place, .from = from, .to = to });
        own = false;
    }
}

static bool begin_place(const struct target *target, struct part *part, struct crew *crew,
                        GError **error)
{
    struct place *place = target->place;
    const struct materialize_request *request = target->writing->request;
    struct stat status;
    if (fstat(target->directory, &status) < 0)
        return fail(target->writing, place, "", "look at", error);
    place->device = status.st_dev;
    place->inode = status.st_ino;
    if (request->learn != NULL) {
        place->clock = stat_clock(target->directory);
        place->written = g_new0(struct stat_identity, tree_size(place->tree));
    }
    if ((request->owner != (uid_t)-1 || request->group != (gid_t)-1) &&
        fchown(target->directory, request->owner, request->group) < 0)
        return fail(target->writing, place, "", "change the owner of", error);
    if (!make_directories(target, crew, error))
        return false;
    cut(part, crew);
    return true;
}

static bool end_place(const struct target *target, GError **error)
{
    gint64 mtime = target->writing->request->mtime;
    const struct timespec times[2] = { fd_timespec(mtime), fd_timespec(mtime) };
    return mtime < 0 || futimens(target->directory, times) == 0 ||
           fail(target->writing, target->place, "", "set the time of", error);
}

static bool do_part(struct writing *writing, struct crew *crew, struct part *part, guint8 *buffer,
                    GError **error)
{
    struct place *place = part->place;
    autofd int directory =
        capture_open(writing->request->directory, place->path, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return fail(writing, place, "", "open the directory", error);
    const struct target target = { writing, place, directory, buffer };
    if (part->first && !begin_place(&target, part, crew, error))
        return false;
    for (size_t i = part->from; i < part->to && !crew_stopped(crew); i++) {
        enum tree_kind kind = tree_at(place->tree, i)->kind;
        if ((kind == TREE_FILE && !write_file(&target, i, error)) ||
            (kind == TREE_SYMLINK && !write_link(&target, i, error)))
            return false;
        crew_consider(crew);
    }
    return !g_atomic_int_dec_and_test(&place->pending) || end_place(&target, error);
}

static void work(struct crew *crew, struct crew_item *item, void *scratch, void *user)
{
    g_autofree struct part *part = (struct part *)item;
    g_autoptr(GError) error = NULL;
    if (!crew_stopped(crew) && !do_part(user, crew, part, scratch, &error))
        crew_fail(crew, g_steal_pointer(&error));
}

/* --- the whole -------------------------------------------------------------------------------- */

static struct stat_entry describe(const struct tree_entry *entry,
                                  const struct stat_identity *written, bool believed)
{
    struct stat_entry out = { .name = entry->name, .kind = STAT_OTHER };
    if (entry->kind == TREE_DIRECTORY) {
        out.kind = STAT_DIRECTORY;
        out.identity.size = entry->digest.size;
        out.hash = entry->digest.hash;
    } else if (believed) {
        out.kind = entry->kind == TREE_SYMLINK ? STAT_LINK
                   : entry->executable         ? STAT_EXECUTABLE
                                               : STAT_FILE;
        out.identity = *written;
        out.hash = entry->digest.hash;
        out.target = entry->target;
    }
    return out;
}

/* Others may write from now on: keep what a change of theirs cannot leave as it looks. */
static void learn(const struct writing *writing, const struct place *place, gint64 now)
{
    bool fine = writing->fine && place->device == writing->device;
    const struct stat_header header = {
        .digested = true, /* of all these entries, whether or not they can be believed now */
        .boot = stat_boot(),
        .recorded = now,
        .digest = *tree_digest(place->tree),
        .count = (guint32)tree_size(place->tree),
    };
    GByteArray *record = stat_record_new(&header);
    for (size_t i = 0; i < tree_size(place->tree); i++) {
        const struct stat_identity *written = &place->written[i];
        bool believed = written->inode != 0 && (fine || written->ctime == STAT_CTIME_ANY ||
                                                !stat_is_racy(written, now, &place->clock));
        const struct stat_entry entry = describe(tree_at(place->tree, i), written, believed);
        stat_record_add(record, &entry);
    }
    stat_cache_put(writing->request->learn, place->device, place->inode, record);
}

static void finish_places(struct writing *writing, bool ok)
{
    gint64 now = stat_now();
    while (writing->places != NULL) {
        struct place *place = writing->places;
        writing->places = place->next;
        if (ok && writing->request->learn != NULL)
            learn(writing, place, now);
        free_place(place);
    }
}

bool store_materialize(const struct materialize_request *request, GError **error)
{
    struct writing writing = { .request = request };
    struct stat status;
    if (!check(&writing, error))
        return false;
    if (fstat(request->directory, &status) == 0)
        writing.device = status.st_dev;
    pthread_mutex_init(&writing.lock, NULL);
    writing.places = new_place(request->tree, "");
    writing.places->pending = 1;
    struct part *first = g_new(struct part, 1);
    *first = (struct part){ .place = writing.places, .first = true };
    bool ok = crew_run(request->jobs, BLOB_BUFFER_SIZE, request->cancel, work, &writing,
                       &first->item, error);
    finish_places(&writing, ok);
    pthread_mutex_destroy(&writing.lock);
    return ok;
}
