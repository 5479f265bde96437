// SPDX-License-Identifier: Apache-2.0
/* A view's life, and the threads that read requests and write answers. */
#include "view/view-internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct below *make_below(const struct view_options *options)
{
    if (options->tree != NULL)
        return below_tree_new(options->tree, options->store, options->root, options->time,
                              options->compiled_time);
    struct below *host = below_host_new(options->root, options->times);
    if (options->shown == NULL && options->patches == NULL)
        return host;
    return below_altered_new(host, options->shown == NULL ? NULL : options->shown + 1,
                             options->real == NULL ? NULL : options->real + 1, options->patches,
                             options->store);
}

static void set_on_files(struct view *view, const struct view_options *options)
{
    view->root = view;
    view->below = make_below(options);
    view->times_follow = options->tree != NULL;
    view->fixed = options->fixed;
    view->scratch = options->fixed ? -1 : options->scratch;
    view->disk = options->fixed ? options->root : options->scratch;
    view->owner = options->owner;
    view->group = options->group;
}

static void set_on_snapshot(struct view *view, struct snapshot *start)
{
    const struct view *parent = start->view;
    view->start = start;
    view->below = below_snapshot_new(start);
    view->root = parent->root;
    view->scratch = parent->scratch;
    view->disk = parent->disk;
    view->owner = parent->owner;
    view->group = parent->group;
}

struct view *view_new(const struct view_options *options)
{
    struct view *view = g_new0(struct view, 1);
    g_mutex_init(&view->lock);
    g_cond_init(&view->released);
    view->epoch = 1;
    view->label = options->label;
    view->readers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (options->below == NULL)
        set_on_files(view, options);
    else
        set_on_snapshot(view, options->below);
    view->recorder = options->recorder;
    view->trap = options->trap;
    view->privileged = geteuid() == 0;
    view->plain = options->plain;
    view->channel = -1;
    view->thread_count = options->threads != 0 ? options->threads : MAX(2, g_get_num_processors());
    view->threads = g_ptr_array_new();
    view->nodes.items = g_ptr_array_new();
    view->nodes.free = g_array_new(FALSE, FALSE, sizeof(guint64));
    view->handles.items = g_ptr_array_new();
    view->handles.free = g_array_new(FALSE, FALSE, sizeof(guint64));
    view->inodes = g_hash_table_new(NULL, NULL);
    view->links = links_new();
    view->callers = options->beside != NULL ? callers_ref(options->beside->callers)
                                            : callers_new(options->recorder, options->processes);
    view->top = node_root(view);
    return view;
}

void view_free(struct view *view)
{
    if (view == NULL)
        return;
    view_wait(view);
    g_assert(view->latest == NULL); /* a snapshot of it is in use */
    for (guint i = 0; i < view->nodes.items->len; i++)
        node_free(view, view->nodes.items->pdata[i]);
    fd_close(&view->channel);
    callers_unref(view->callers);
    below_free(view->below);
    g_hash_table_unref(view->readers);
    g_hash_table_unref(view->links);
    g_hash_table_unref(view->inodes);
    g_ptr_array_unref(view->nodes.items);
    g_array_unref(view->nodes.free);
    g_ptr_array_unref(view->handles.items);
    g_array_unref(view->handles.free);
    g_ptr_array_unref(view->threads);
    g_cond_clear(&view->released);
    g_mutex_clear(&view->lock);
    g_free(view);
}

void view_send(const struct request *request, guint64 unique, int rc)
{
    struct fuse_out_header header = { .unique = unique, .error = rc < 0 ? rc : 0 };
    struct iovec parts[2] = {
        { .iov_base = &header, .iov_len = sizeof header },
        { .iov_base = request->out, .iov_len = rc < 0 ? 0 : request->out_size },
    };
    header.len = (guint32)(parts[0].iov_len + parts[1].iov_len);
    /* ENOENT: whoever asked was killed meanwhile. Nobody waits for anything then. */
    if (writev(request->view->channel, parts, parts[1].iov_len > 0 ? 2 : 1) < 0)
        return;
}

/*
 * Until the file system is unmounted. Blocking reads: a wait for readiness first would cost every
 * request a system call more.
 */
static gpointer serve(gpointer data)
{
    struct view *view = data;
    void *message = g_malloc(VIEW_BUFFER);
    struct request request = { .view = view, .out = g_malloc(VIEW_BUFFER) };
    for (;;) {
        ssize_t size = read(view->channel, message, VIEW_BUFFER);
        if (size < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
            continue;
        if (size < 0) { /* ENODEV: unmounted */
            g_atomic_int_compare_and_exchange(&view->aborted, 0, errno == ECONNABORTED);
            break;
        }
        if (exec_look(&request, message, (size_t)size))
            continue;
        int rc = view_dispatch(&request, message, (size_t)size);
        g_clear_pointer(&request.diversion, g_free);
        if (rc != VIEW_NO_REPLY)
            view_send(&request, ((const struct fuse_in_header *)message)->unique, rc);
    }
    g_free(message);
    g_free(request.out);
    return NULL;
}

/* Signals are for the thread that waits for the command; a new one has the mask of its maker. */
bool view_serve(struct view *view, int channel, GError **error)
{
    sigset_t all, before;
    view->channel = channel;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < view->thread_count; i++) {
        GThread *thread = g_thread_try_new("view", serve, view, i == 0 ? error : NULL);
        if (thread != NULL)
            g_ptr_array_add(view->threads, thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (view->threads->len == 0)
        g_prefix_error(error, "cannot serve the view: ");
    return view->threads->len > 0;
}

void view_set_processes(struct view *view, int processes)
{
    callers_set_processes(view->callers, processes);
}

void view_wait(struct view *view)
{
    for (guint i = 0; i < view->threads->len; i++)
        g_thread_join(view->threads->pdata[i]);
    g_ptr_array_set_size(view->threads, 0);
    exec_end(view);
}

bool view_passes_through(struct view *view)
{
    g_mutex_lock(&view->lock);
    bool passes = view->passes;
    g_mutex_unlock(&view->lock);
    return passes;
}
