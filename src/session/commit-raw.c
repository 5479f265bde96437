// SPDX-License-Identifier: Apache-2.0
/*
 * Outputs that no tree and so no result can hold: those whose names are not UTF-8, and all below
 * them, and links whose targets are not. They are copied from where the run left them, or they
 * would be lost, moved ones with them. Sockets are left out: nobody listens any more.
 */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "session/commit-internal.h"
#include "session/session-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

struct raw {
    struct commit *commit;
    bool (*is_older)(void *user, const struct stat *status);
    void *user;
    GError *error; /* the first; the rest is tried all the same */
};

static bool failed(struct raw *raw, const char *what, const char *path)
{
    int number = errno;
    g_autofree char *quoted = path_quote(path);
    if (raw->error == NULL)
        fault_errno(&raw->error, number, "%s %s", what, quoted);
    return false;
}

/* Names in a directory; NULL and errno. */
static GPtrArray *names_in(int directory)
{
    autofd int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL)
        return NULL;
    fd_steal(&copy);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const struct dirent *found;
    while ((found = readdir(stream)) != NULL)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            g_ptr_array_add(names, g_strdup(found->d_name));
    closedir(stream);
    return names;
}

/* --- one thing -------------------------------------------------------------------------------- */

/* May what lies there be replaced? What the user changed meanwhile stays (V6). */
static bool may_replace(struct raw *raw, int to, const char *name, const char *path)
{
    struct stat status;
    if (fstatat(to, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || raw->is_older(raw->user, &status))
        return true;
    raw->commit->kept++;
    event_emit(raw->commit->session->sink, EVENT_CONFLICT, { "path", EVENT_TEXT, .text = path },
               { "reason", EVENT_TEXT, .text = "it was changed while the command ran" });
    return false;
}

static void copy_attributes(int from, int to)
{
    g_autofree char *names = g_malloc0(XATTR_LIST_MAX + 1), *value = g_malloc(XATTR_SIZE_MAX);
    ssize_t size = flistxattr(from, names, XATTR_LIST_MAX);
    for (const char *name = names; name < names + MAX(size, 0); name += strlen(name) + 1) {
        ssize_t length =
            g_str_has_prefix(name, "user.") ? fgetxattr(from, name, value, XATTR_SIZE_MAX) : -1;
        if (length >= 0)
            fsetxattr(to, name, value, (size_t)length, 0);
    }
}

static bool dress(int from, int to, const struct stat *status)
{
    const struct timespec times[2] = { status->st_atim, status->st_mtim };
    copy_attributes(from, to);
    return fchmod(to, status->st_mode & 07777) == 0 && futimens(to, times) == 0;
}

static bool copy_file(struct raw *raw, int from, int to, const char *name, const char *path)
{
    struct stat status;
    g_autofree char *temporary = NULL;
    autofd int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (source < 0 || fstat(source, &status) < 0)
        return failed(raw, "cannot read the output", path);
    autofd int file = fd_create_unnamed(to, 0600, &temporary);
    if (file < 0)
        return failed(raw, "cannot write", path);
    GError *error = NULL;
    if (fd_copy(source, file, status.st_size, path, NULL, &error) && dress(source, file, &status) &&
        fd_publish(to, file, &temporary, name)) {
        raw->commit->written++;
        return true;
    }
    fd_discard(to, &temporary);
    if (error == NULL)
        return failed(raw, "cannot write", path);
    if (raw->error == NULL)
        raw->error = error;
    else
        g_error_free(error);
    return false;
}

static bool copy_link(struct raw *raw, int from, int to, const char *name, const char *path)
{
    char target[PATH_MAX + 1] = { 0 };
    if (readlinkat(from, name, target, PATH_MAX) < 0)
        return failed(raw, "cannot read the output", path);
    unlinkat(to, name, 0);
    return symlinkat(target, to, name) == 0 || failed(raw, "cannot make the link", path);
}

static bool copy_fifo(struct raw *raw, int to, const char *name, const char *path, mode_t mode)
{
    unlinkat(to, name, 0);
    return (mkfifoat(to, name, 0600) == 0 && fchmodat(to, name, mode & 07777, 0) == 0) ||
           failed(raw, "cannot make the FIFO", path);
}

/* --- what is below it ------------------------------------------------------------------------- */

static bool copy_entry(struct raw *raw, int from, int to, const char *name, const char *path);

static bool copy_directory(struct raw *raw, int from, int to, const char *name, const char *path)
{
    struct stat status;
    autofd int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    g_autoptr(GPtrArray) names = source < 0 ? NULL : names_in(source);
    if (names == NULL || fstat(source, &status) < 0)
        return failed(raw, "cannot read the output", path);
    struct stat there;
    bool blocked = fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(there.st_mode);
    if (blocked && !may_replace(raw, to, name, path))
        return true;
    if (blocked && unlinkat(to, name, 0) < 0)
        return failed(raw, "cannot remove", path);
    if (mkdirat(to, name, 0700) < 0 && errno != EEXIST)
        return failed(raw, "cannot make the directory", path);
    autofd int made = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made < 0)
        return failed(raw, "cannot open the directory", path);
    bool ok = true;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *below = path_join(path, names->pdata[i]);
        ok = copy_entry(raw, source, made, names->pdata[i], below) && ok;
    }
    return dress(source, made, &status) ? ok : failed(raw, "cannot set the mode of", path);
}

static bool copy_entry(struct raw *raw, int from, int to, const char *name, const char *path)
{
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return failed(raw, "cannot read the output", path);
    if (S_ISDIR(status.st_mode))
        return copy_directory(raw, from, to, name, path);
    if (S_ISSOCK(status.st_mode) || !may_replace(raw, to, name, path))
        return true;
    if (S_ISLNK(status.st_mode))
        return copy_link(raw, from, to, name, path);
    return S_ISREG(status.st_mode) ? copy_file(raw, from, to, name, path)
                                   : copy_fifo(raw, to, name, path, status.st_mode);
}

/* Does a tree hold what has this name? */
static bool is_storable(int from, const char *name)
{
    char target[PATH_MAX + 1];
    if (!path_is_name(name))
        return false;
    ssize_t length = readlinkat(from, name, target, PATH_MAX);
    return length < 0 || g_utf8_validate(target, length, NULL);
}

/* --- the search ------------------------------------------------------------------------------- */

static void find_raw(struct raw *raw, int from, const char *prefix)
{
    const struct commit *commit = raw->commit;
    g_autoptr(GPtrArray) names = names_in(from);
    autofd int to = -1;
    for (guint i = 0; names != NULL && i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *path = path_join(prefix, name);
        if (!is_storable(from, name)) {
            if (commit->stale_glob != NULL && !glob_match(commit->stale_glob, path, false))
                continue;
            if (to < 0)
                to = fd_open_beneath(commit->session->root_fd, *prefix != '\0' ? prefix : ".",
                                     O_RDONLY | O_DIRECTORY, 0);
            if (to < 0)
                failed(raw, "cannot open the directory of", path);
            else
                copy_entry(raw, from, to, name, path);
            continue;
        }
        autofd int below = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            find_raw(raw, below, path);
    }
}

bool commit_raw(struct commit *commit, bool (*is_older)(void *user, const struct stat *status),
                void *user, GError **error)
{
    struct raw raw = { .commit = commit, .is_older = is_older, .user = user };
    find_raw(&raw, commit->source, "");
    if (raw.error != NULL)
        g_propagate_error(error, raw.error);
    return raw.error == NULL;
}
