// SPDX-License-Identifier: Apache-2.0
/* The file system of an observed run, from vial's side: serve it while the command runs, then lay
 * out what was written. */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What init hands up, or why it does not. */
static int take_up(const struct launch *launch, GError **error)
{
    int descriptor = sandbox_take_up(launch->plan);
    if (descriptor >= 0)
        return descriptor;
    if (launch->plan->report->kind != 0)
        sandbox_fault(launch->plan, error);
    else
        fault_set(error, FAULT_SANDBOX, "the sandbox's own processes were killed");
    return -1;
}

struct view *sandbox_view_start(const struct sandbox *sandbox, struct launch *launch,
                                GError **error)
{
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int scratch =
        openat(launch->directory, "delta", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    launch->view_files[0] = root;
    launch->view_files[1] = scratch;
    if (root < 0 || scratch < 0) {
        fault_errno(error, errno, "cannot open what a view is made of");
        return NULL;
    }
    const struct view_options options = {
        .root = root,
        .scratch = scratch,
        .owner = geteuid(),
        .group = getegid(),
        .recorder = sandbox->view->recorder,
        .times = sandbox->view->times,
        .processes = -1,
        .plain = sandbox->view->plain,
    };
    struct view *view = view_new(&options);
    int channel = take_up(launch, error);
    if (channel >= 0 && view_serve(view, channel, error) &&
        (launch->view_files[2] = take_up(launch, error)) >= 0) {
        view_set_processes(view, launch->view_files[2]);
        return view;
    }
    sandbox_land(launch); /* ends whoever still asks */
    view_free(view);
    return NULL;
}

bool sandbox_view_finish(const struct sandbox *sandbox, struct view *view, int work,
                         char ***deleted, GError **error)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    view_wait(view);
    if (!view_lay_out(view, sandbox->view->workspace, work, gone, NULL, error))
        return false;
    if (gone->len > 0) {
        g_ptr_array_add(gone, NULL);
        *deleted = (char **)g_ptr_array_free(g_steal_pointer(&gone), FALSE);
    }
    return true;
}
