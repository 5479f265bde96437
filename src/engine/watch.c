// SPDX-License-Identifier: Apache-2.0
/* inotify over all directories of a workspace. */
#include "engine/watch.h"

#include "base/fault.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define CHANGES \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

enum {
    QUIET = 30,     /* ms without a change: whoever wrote has finished, most likely */
    PATIENCE = 500, /* ms after which whoever goes on writing is not waited for */
};

struct watch {
    int inotify, stop; /* stop: an eventfd */
    char *root, *except;
    GHashTable *paths; /* watch descriptor -> char * */
};

/* --- directories ------------------------------------------------------------------------------ */

static bool is_left_out(const struct watch *watch, const char *path)
{
    g_autofree char *git = g_build_filename(watch->root, ".git", NULL);
    return strcmp(path, git) == 0 || g_strcmp0(path, watch->except) == 0;
}

/* What is gone meanwhile, or is not ours to read, has nothing that rules could have seen. */
static bool may_be_skipped(int number)
{
    return number == ENOENT || number == ENOTDIR || number == EACCES || number == ELOOP;
}

static bool add_one(struct watch *watch, const char *path, GError **error)
{
    int number = inotify_add_watch(watch->inotify, path,
                                   CHANGES | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK);
    if (number >= 0) {
        g_hash_table_insert(watch->paths, GINT_TO_POINTER(number), g_strdup(path));
        return true;
    }
    if (may_be_skipped(errno))
        return true;
    if (errno == ENOSPC)
        return fault_set(error, FAULT_IO,
                         "cannot watch %s: more directories than "
                         "/proc/sys/fs/inotify/max_user_watches allows; raise it",
                         path);
    return fault_errno(error, errno, "cannot watch %s", path);
}

static void add_children(struct watch *watch, const char *path, GPtrArray *pending)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
            continue;
        g_autofree char *child = g_build_filename(path, entry->d_name, NULL);
        if (!is_left_out(watch, child))
            g_ptr_array_add(pending, g_steal_pointer(&child));
    }
    if (directory != NULL)
        closedir(directory);
}

/* Watched before it is listed, so what appears meanwhile is either listed or reported. */
static bool add_tree(struct watch *watch, const char *path, GError **error)
{
    g_autoptr(GPtrArray) pending = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(pending, g_strdup(path));
    while (pending->len > 0) {
        g_autofree char *next = g_ptr_array_steal_index(pending, pending->len - 1);
        if (!add_one(watch, next, error))
            return false;
        add_children(watch, next, pending);
    }
    return true;
}

struct watch *watch_new(const char *root, const char *except, GError **error)
{
    g_autoptr(watch) made = g_new0(struct watch, 1);
    made->root = g_strdup(root);
    made->except = g_strdup(except);
    made->paths = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    made->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    made->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->inotify < 0 || made->stop < 0) {
        fault_errno(error, errno, "cannot watch %s", root);
        return NULL;
    }
    return add_tree(made, root, error) ? g_steal_pointer(&made) : NULL;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    fd_close(&watch->inotify);
    fd_close(&watch->stop);
    g_hash_table_unref(watch->paths);
    g_free(watch->root);
    g_free(watch->except);
    g_free(watch);
}

/* --- events ----------------------------------------------------------------------------------- */

static bool take_event(struct watch *watch, const struct inotify_event *event, bool *changed,
                       GError **error)
{
    const char *directory = g_hash_table_lookup(watch->paths, GINT_TO_POINTER(event->wd));
    if ((event->mask & IN_Q_OVERFLOW) != 0) { /* what was lost may have made directories */
        *changed = true;
        return add_tree(watch, watch->root, error);
    }
    if ((event->mask & IN_IGNORED) != 0) {
        g_hash_table_remove(watch->paths, GINT_TO_POINTER(event->wd));
        return true;
    }
    if (directory == NULL)
        return true;
    g_autofree char *path =
        event->len == 0 ? g_strdup(directory) : g_build_filename(directory, event->name, NULL);
    if (is_left_out(watch, path))
        return true;
    *changed = true;
    bool appeared = (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0;
    return !appeared || (event->mask & IN_ISDIR) == 0 || add_tree(watch, path, error);
}

static bool take_events(struct watch *watch, bool *changed, GError **error)
{
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t size;
    while ((size = read(watch->inotify, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (const char *at = buffer; at < buffer + size; at += sizeof *event + event->len) {
            event = (const void *)at;
            if (!take_event(watch, event, changed, error))
                return false;
        }
    }
    if (size < 0 && errno != EAGAIN && errno != EINTR)
        return fault_errno(error, errno, "cannot watch %s", watch->root);
    return true;
}

enum woken {
    WOKEN_BY_TIME,
    WOKEN_BY_EVENTS,
    WOKEN_TO_STOP,
};

/* At most `most` ms; -1: any number. */
static enum woken wait_for_events(const struct watch *watch, int most)
{
    struct pollfd descriptors[] = { { .fd = watch->inotify, .events = POLLIN },
                                    { .fd = watch->stop, .events = POLLIN } };
    int ready = poll(descriptors, G_N_ELEMENTS(descriptors), most);
    if (ready > 0 && descriptors[1].revents != 0)
        return WOKEN_TO_STOP;
    return ready == 0 ? WOKEN_BY_TIME : WOKEN_BY_EVENTS; /* or by a signal: there are none */
}

bool watch_wait(struct watch *watch, GError **error)
{
    bool changed = false;
    gint64 first = 0;
    for (;;) {
        switch (wait_for_events(watch, changed ? QUIET : -1)) {
        case WOKEN_TO_STOP:
            return fault_set(error, FAULT_CANCELLED, "interrupted");
        case WOKEN_BY_TIME:
            return true;
        default:
            break;
        }
        if (!take_events(watch, &changed, error))
            return false;
        first = changed && first == 0 ? g_get_monotonic_time() : first;
        if (changed && g_get_monotonic_time() - first > PATIENCE * 1000)
            return true;
    }
}

void watch_stop(struct watch *watch)
{
    const guint64 one = 1;
    ssize_t written = write(watch->stop, &one, sizeof one);
    (void)written;
}
