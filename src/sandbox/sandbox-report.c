// SPDX-License-Identifier: Apache-2.0
/* Reports from the children of a run to vial, and what vial makes of them. */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/path.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool sandbox_fail(struct report *report, const char *what, const char *path)
{
    report->kind = REPORT_FAILED;
    report->number = errno;
    report->what = what;
    report->path = path;
    return false;
}

void sandbox_report(const struct plan *plan)
{
    while (send(plan->control[1], "", 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

bool sandbox_await_report(const struct plan *plan)
{
    char byte;
    ssize_t size;
    do /* a peer that left orders unread resets the connection; its byte comes after that */
        size = recv(plan->control[0], &byte, 1, 0);
    while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    return size == 1;
}

union passed { /* one descriptor, aligned as the kernel wants it */
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

bool sandbox_hand_up(const struct plan *plan, int descriptor)
{
    char byte = 0;
    struct iovec part = { &byte, 1 };
    union passed passed = { .header = { .cmsg_len = CMSG_LEN(sizeof descriptor),
                                        .cmsg_level = SOL_SOCKET,
                                        .cmsg_type = SCM_RIGHTS } };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = passed.bytes,
                              .msg_controllen = sizeof passed.bytes };
    memcpy(CMSG_DATA(&passed.header), &descriptor, sizeof descriptor);
    ssize_t size;
    do
        size = sendmsg(plan->control[1], &message, MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    return size == 1;
}

int sandbox_take_up(const struct plan *plan)
{
    char byte;
    int descriptor = -1;
    struct iovec part = { &byte, 1 };
    union passed passed;
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = passed.bytes,
                              .msg_controllen = sizeof passed.bytes };
    ssize_t size;
    do
        size = recvmsg(plan->control[0], &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    const struct cmsghdr *header = size == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return descriptor;
}

static bool not_runnable(const struct report *report, GError **error)
{
    g_autofree char *path = path_quote(report->path);
    if (report->text[0] == '\0')
        return fault_set(error, FAULT_NOT_RUNNABLE, "cannot execute %s: %s", path,
                         g_strerror(report->number));
    g_autofree char *interpreter = path_quote(report->text);
    return fault_set(error, FAULT_NOT_RUNNABLE,
                     "cannot execute %s: its interpreter %s is not in the sandbox", path,
                     interpreter);
}

static bool not_found(const struct plan *plan, GError **error)
{
    g_autofree char *name = path_quote(plan->argv[0]);
    if (strchr(plan->argv[0], '/') != NULL)
        return fault_set(error, FAULT_NOT_FOUND, "there is no program %s in the sandbox", name);
    g_autoptr(GString) searched = g_string_new(NULL);
    for (char **candidate = plan->candidates; *candidate != NULL; candidate++) {
        const char *end = strrchr(*candidate, '/');
        g_string_append_printf(searched, "%s%.*s", searched->len == 0 ? "" : ":",
                               (int)(end - *candidate), *candidate);
    }
    return fault_set(error, FAULT_NOT_FOUND, "there is no program %s in the sandbox (searched %s)",
                     name, searched->len == 0 ? "nothing" : searched->str);
}

/* What the kernel means by its refusals of namespaces and of mounts in them. */
static const char *explain(const struct report *report)
{
    bool clone = strcmp(report->what, SANDBOX_CLONE) == 0;
    int number = report->number;
    if (clone && (number == ENOSPC || number == EUSERS))
        return "a limit in /proc/sys/user, or of nesting, is reached";
    if (clone && (number == EINVAL || number == ENOSYS))
        return "the kernel lacks namespaces, or a filter of the container hides them";
    if (number == EPERM && report->path != NULL && strcmp(report->path, "proc") == 0)
        return "refused, as where a container masks parts of /proc";
    if (number == EPERM || (clone && number == EACCES))
        return "refused by a setting of the system or the container";
    return g_strerror(number);
}

bool sandbox_fault(const struct plan *plan, GError **error)
{
    const struct report *report = plan->report;
    if (report->kind == REPORT_NOT_FOUND)
        return not_found(plan, error);
    if (report->kind == REPORT_NOT_RUNNABLE)
        return not_runnable(report, error);
    g_autofree char *path = report->path == NULL ? NULL : path_quote(report->path);
    bool view = report->path != NULL && strcmp(report->path, "/dev/fuse") == 0;
    return fault_set(error, view ? FAULT_VIEW : FAULT_SANDBOX, "cannot %s%s%s for the sandbox: %s",
                     report->what, path == NULL ? "" : " ", path == NULL ? "" : path,
                     explain(report));
}
