// SPDX-License-Identifier: Apache-2.0
/* The session's side of a command in a view of its own: snapshot, answer, serve, commit. */
#include "session/nested.h"

#include "base/fd.h"
#include "base/path.h"
#include "shim/shim.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct nested {
    const struct sandbox_ground *ground;
    GMutex lock; /* of ground->view's snapshots and commits, and of what follows */
    guint64 last_label;
    struct nested_counts counts;
    GPtrArray *threads; /* the trap thread's alone */
};

struct command {
    struct nested *nested;
    int client;
    char *name;
};

/* --- conversation ----------------------------------------------------------------------------- */

static bool say(int client, const void *data, size_t size)
{
    ssize_t sent;
    do
        sent = send(client, data, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

static bool say_step(int client, enum shim_step step)
{
    return say(client, &(const char){ (char)step }, 1);
}

/* False: it is something else, or the shim has gone. *descriptor is set to what came along, or -1.
 */
static bool hear_step(int client, enum shim_step step, int *descriptor)
{
    char byte = 0;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t size;
    do
        size = recvmsg(client, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    const struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    int got = -1;
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof got))
        memcpy(&got, CMSG_DATA(header), sizeof got);
    *descriptor = got;
    return size == 1 && byte == (char)step;
}

static void add_text(GByteArray *message, const char *text)
{
    g_byte_array_append(message, (const guint8 *)text, (guint)strlen(text) + 1);
}

static bool answer(const struct command *command)
{
    const struct sandbox_ground *ground = command->nested->ground;
    g_autoptr(GByteArray) message = g_byte_array_new();
    g_autofree char *owner = g_strdup_printf("%u", (unsigned)geteuid());
    g_autofree char *group = g_strdup_printf("%u", (unsigned)getegid());
    g_byte_array_append(message, &(const guint8){ SHIM_RUN_IN_VIEW }, 1);
    add_text(message, command->name);
    add_text(message, ground->user_map);
    add_text(message, ground->group_map);
    add_text(message, owner);
    add_text(message, group);
    for (char *const *bind = ground->binds; *bind != NULL; bind++)
        add_text(message, *bind);
    int room = (int)message->len + 4096;
    setsockopt(command->client, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return message->len <= SHIM_ANSWER_MAX && say(command->client, message->data, message->len);
}

/* --- views ------------------------------------------------------------------------------------ */

static struct view *begin(struct nested *nested, struct recorder *recorder)
{
    const struct sandbox_ground *ground = nested->ground;
    g_mutex_lock(&nested->lock);
    g_autoptr(snapshot) now = view_snapshot(ground->view, NULL);
    const struct view_options options = {
        .below = now,
        .label = ++nested->last_label,
        .recorder = recorder,
        .processes = ground->processes,
        .plain = ground->plain,
    };
    struct view *view = now == NULL ? NULL : view_new(&options);
    g_mutex_unlock(&nested->lock);
    return view;
}

static void end(struct nested *nested, struct view *view)
{
    g_mutex_lock(&nested->lock);
    view_free(view);
    g_mutex_unlock(&nested->lock);
}

static bool serve(const struct command *command, struct view *view)
{
    int channel;
    bool mounted = hear_step(command->client, SHIM_MOUNTED, &channel);
    if (!mounted || channel < 0) {
        fd_close(&channel);
        return false;
    }
    return view_serve(view, channel, NULL) && say_step(command->client, SHIM_SERVED);
}

/* Which of them was first decides what another run would leave: nothing of this one is to be
 * reused. */
static void refuse_conflict(const struct nested *nested, const struct view_conflict *conflict)
{
    g_autofree char *path = path_quote(conflict->path);
    g_autofree char *reason = g_strdup_printf("commands that ran at the same time met at %s", path);
    recorder_uncacheable(nested->ground->recorder, reason);
}

/* What the command wrote would be lost in part: then nothing of the run is to be reused. */
static bool commit(struct nested *nested, struct view *view)
{
    g_autoptr(GPtrArray) conflicts =
        g_ptr_array_new_with_free_func((GDestroyNotify)view_conflict_free);
    g_autoptr(GError) error = NULL;
    g_mutex_lock(&nested->lock);
    bool ok = view_commit(view, 0, conflicts, &error);
    nested->counts.committed += ok;
    nested->counts.conflicts += conflicts->len;
    g_mutex_unlock(&nested->lock);
    if (nested->ground->recorder == NULL)
        return ok;
    if (!ok)
        recorder_uncacheable(nested->ground->recorder, error->message);
    else if (conflicts->len > 0)
        refuse_conflict(nested, conflicts->pdata[0]);
    return ok;
}

/*
 * The program has ended, or the shim was killed. The kernel unmounts the view when the last process
 * in it has gone; only then is the delta complete.
 */
static void run_in_view(const struct command *command, struct view *view)
{
    int none;
    if (!answer(command) || !serve(command, view))
        return;
    hear_step(command->client, SHIM_ENDED, &none);
    fd_close(&none);
    view_wait(view);
    say_step(command->client, commit(command->nested, view) ? SHIM_COMMITTED : SHIM_LOST);
}

static gpointer run(gpointer data)
{
    struct command *command = data;
    struct recorder *recorder = recorder_new(command->nested->ground->workspace);
    struct view *view = begin(command->nested, recorder);
    if (view != NULL) {
        run_in_view(command, view);
        end(command->nested, view);
    }
    recorder_free(recorder);
    close(command->client); /* without an answer the shim runs the program itself */
    g_free(command->name);
    g_free(command);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

struct nested *nested_new(const struct sandbox_ground *ground)
{
    struct nested *nested = g_new0(struct nested, 1);
    nested->ground = ground;
    g_mutex_init(&nested->lock);
    nested->threads = g_ptr_array_new();
    return nested;
}

void nested_free(struct nested *nested, struct nested_counts *counts)
{
    if (nested == NULL)
        return;
    for (guint i = 0; i < nested->threads->len; i++)
        g_thread_join(nested->threads->pdata[i]);
    g_ptr_array_unref(nested->threads);
    *counts = nested->counts;
    g_mutex_clear(&nested->lock);
    g_free(nested);
}

void nested_run(struct nested *nested, int client, char *name)
{
    struct command *command = g_new0(struct command, 1);
    *command = (struct command){ nested, client, name };
    GThread *thread = g_thread_try_new("nested", run, command, NULL);
    if (thread != NULL)
        return g_ptr_array_add(nested->threads, thread);
    close(client);
    g_free(name);
    g_free(command);
}
