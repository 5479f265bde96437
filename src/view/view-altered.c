// SPDX-License-Identifier: Apache-2.0
/*
 * The host, but for what is to be seen otherwise: one directory at another path (its own place is a
 * link to that), and files, links and directories as they once were.
 *
 * Listings are not told of the directory's second path, so that they are those of the host. Nobody
 * asks for what lies below the place that is a link: the kernel follows it.
 */
#include "base/fd.h"
#include "base/path.h"
#include "view/view-below.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct altered {
    struct below below;
    struct below *host; /* owned */
    struct store *store;
    char *shown, *real;   /* relative paths; NULL: none is moved */
    GHashTable *patches;  /* path -> struct view_patch, owned */
    GHashTable *children; /* directory -> GPtrArray of struct view_patch in it */
};

static struct altered *altered(struct below *below)
{
    return (struct altered *)below;
}

static bool is_below(const char *directory, const char *path)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Where the host has what is shown at `path`. Caller frees. */
static char *translate(const struct altered *self, const char *path)
{
    if (self->shown != NULL && is_below(self->shown, path))
        return g_strconcat(self->real, path + strlen(self->shown), NULL);
    return g_strdup(path);
}

static bool is_moved(const struct altered *self, const char *path)
{
    return self->real != NULL && strcmp(path, self->real) == 0;
}

static const struct view_patch *patch_of(const struct altered *self, const char *path)
{
    return g_hash_table_lookup(self->patches, path);
}

static void patch_status(const struct view_patch *patch, struct below_file *out)
{
    static const mode_t kinds[] = {
        [PATCH_FILE] = S_IFREG, [PATCH_LINK] = S_IFLNK, [PATCH_DIRECTORY] = S_IFDIR
    };
    *out = (struct below_file){ 0 };
    out->status.st_mode = kinds[patch->kind] | (patch->mode & 07777);
    out->status.st_nlink = 1;
    out->status.st_mtim = out->status.st_ctim = fd_timespec(patch->time);
    if (patch->kind != PATCH_FILE)
        return;
    out->content = &patch->digest;
    out->status.st_size = (off_t)patch->digest.size;
    out->status.st_blocks = (blkcnt_t)((patch->digest.size + 511) / 512);
}

static int look(struct below *below, const char *path, struct below_file *out)
{
    const struct altered *self = altered(below);
    const struct view_patch *patch = patch_of(self, path);
    if (patch != NULL && patch->kind == PATCH_ABSENT)
        return -ENOENT;
    if (patch != NULL) {
        patch_status(patch, out);
        return 0;
    }
    g_autofree char *real = translate(self, path);
    int rc = self->host->operations->look(self->host, real, out);
    if (rc == 0 && is_moved(self, path))
        out->status.st_mode = S_IFLNK | 0777;
    return rc;
}

static int open_file(struct below *below, const char *path)
{
    const struct altered *self = altered(below);
    const struct view_patch *patch = patch_of(self, path);
    if (patch != NULL)
        return patch->kind != PATCH_FILE ? -EIO : below_open_stored(self->store, &patch->digest);
    g_autofree char *real = translate(self, path);
    return self->host->operations->open(self->host, real);
}

struct listing {
    const struct altered *self;
    const char *directory;
    below_visit visit;
    void *user;
};

static void list_unpatched(const char *name, guint32 kind, guint64 ino, void *user)
{
    const struct listing *listing = user;
    g_autofree char *path = path_join(listing->directory, name);
    if (patch_of(listing->self, path) == NULL)
        listing->visit(name, kind, ino, listing->user);
}

static int list(struct below *below, const char *path, below_visit visit, void *user)
{
    const struct altered *self = altered(below);
    struct listing listing = { self, path, visit, user };
    const GPtrArray *added = g_hash_table_lookup(self->children, path);
    g_autofree char *real = translate(self, path);
    int rc = self->host->operations->list(self->host, real, list_unpatched, &listing);
    if (rc < 0 && patch_of(self, path) == NULL)
        return rc;
    for (guint i = 0; added != NULL && i < added->len; i++) {
        const struct view_patch *patch = added->pdata[i];
        struct below_file file;
        const char *slash = strrchr(patch->path, '/');
        if (patch->kind == PATCH_ABSENT)
            continue;
        patch_status(patch, &file);
        visit(slash == NULL ? patch->path : slash + 1, file.status.st_mode & S_IFMT, 0, user);
    }
    return 0;
}

static int read_link(struct below *below, const char *path, char **target)
{
    const struct altered *self = altered(below);
    const struct view_patch *patch = patch_of(self, path);
    if (patch != NULL && patch->kind != PATCH_LINK)
        return -EINVAL;
    if (patch != NULL || is_moved(self, path)) {
        *target = patch != NULL ? g_strdup(patch->target) : g_strconcat("/", self->shown, NULL);
        return 0;
    }
    g_autofree char *real = translate(self, path);
    return self->host->operations->read_link(self->host, real, target);
}

static int permit(struct below *below, const char *path, int mask)
{
    const struct altered *self = altered(below);
    const struct view_patch *patch = patch_of(self, path);
    if (patch != NULL)
        return (mask & ~(int)(patch->mode >> 6) & 7) == 0 ? 0 : -EACCES;
    g_autofree char *real = translate(self, path);
    return self->host->operations->permit(self->host, real, mask);
}

static GHashTable *read_attributes(struct below *below, const char *path)
{
    const struct altered *self = altered(below);
    if (patch_of(self, path) != NULL)
        return NULL;
    g_autofree char *real = translate(self, path);
    return self->host->operations->read_attributes(self->host, real);
}

static gint64 clock_of(struct below *below, const char *path)
{
    const struct altered *self = altered(below);
    if (patch_of(self, path) != NULL)
        return 0;
    g_autofree char *real = translate(self, path);
    return self->host->operations->clock(self->host, real);
}

static void altered_free(struct below *below)
{
    struct altered *self = altered(below);
    below_free(self->host);
    g_hash_table_unref(self->patches);
    g_hash_table_unref(self->children);
    g_free(self->shown);
    g_free(self->real);
    g_free(self);
}

static const struct below_operations operations = {
    .look = look,
    .open = open_file,
    .list = list,
    .read_link = read_link,
    .permit = permit,
    .read_attributes = read_attributes,
    .clock = clock_of,
    .free = altered_free,
};

/* Later patches take the place of earlier ones. */
static void add_patches(struct altered *self, const GPtrArray *patches)
{
    for (guint i = 0; patches != NULL && i < patches->len; i++) {
        struct view_patch *patch = patches->pdata[i];
        g_hash_table_insert(self->patches, (char *)patch->path, patch);
    }
    GHashTableIter iterator;
    void *patch;
    g_hash_table_iter_init(&iterator, self->patches);
    while (g_hash_table_iter_next(&iterator, NULL, &patch)) {
        const char *path = ((const struct view_patch *)patch)->path, *slash = strrchr(path, '/');
        g_autofree char *parent =
            slash == NULL ? g_strdup("") : g_strndup(path, (gsize)(slash - path));
        GPtrArray *there = g_hash_table_lookup(self->children, parent);
        if (there == NULL)
            g_hash_table_insert(self->children, g_steal_pointer(&parent),
                                there = g_ptr_array_new());
        g_ptr_array_add(there, patch);
    }
}

struct below *below_altered_new(struct below *host, const char *shown, const char *real,
                                const GPtrArray *patches, struct store *store)
{
    struct altered *made = g_new0(struct altered, 1);
    made->below.operations = &operations;
    made->host = host;
    made->store = store;
    made->shown = g_strdup(shown);
    made->real = g_strdup(real);
    made->patches = g_hash_table_new(g_str_hash, g_str_equal);
    made->children =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    add_patches(made, patches);
    return &made->below;
}
