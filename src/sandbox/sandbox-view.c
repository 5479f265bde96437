// SPDX-License-Identifier: Apache-2.0
/* The file system of a run, from vial's side: serve it while the command runs, then lay out what
 * was written. */
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

static bool open_files(const struct sandbox *sandbox, struct launch *launch, GError **error)
{
    launch->view_files[1] =
        openat(launch->directory, "delta", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sandbox->view != NULL)
        launch->view_files[0] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return (launch->view_files[1] >= 0 && (sandbox->view == NULL || launch->view_files[0] >= 0)) ||
           fault_errno(error, errno, "cannot open what a view is made of");
}

static const struct view_trap *trap_of(const struct sandbox *sandbox, const struct launch *launch)
{
    return launch->plan->trapped ? &sandbox->view->trap->view : NULL;
}

static struct view *make_view(const struct sandbox *sandbox, const struct launch *launch,
                              const struct files *files)
{
    struct view_options options = {
        .root = launch->view_files[0],
        .scratch = launch->view_files[1],
        .owner = SANDBOX_ID,
        .group = SANDBOX_ID,
        .processes = -1,
    };
    if (sandbox->view == NULL) {
        options.root = files->request->workspace;
        options.tree = files->provided;
        options.store = files->request->store;
        options.time = SANDBOX_INPUT_TIME;
        options.compiled_time = SANDBOX_COMPILED_TIME;
        options.recorder = sandbox->recorder;
    } else {
        options.owner = geteuid();
        options.group = getegid();
        options.recorder = sandbox->view->recorder;
        options.times = sandbox->view->times;
        options.plain = sandbox->view->plain;
        options.shown = sandbox->view->real == NULL ? NULL : sandbox->view->workspace;
        options.real = sandbox->view->real;
        options.patches = sandbox->view->patches;
        options.store = files->request->store;
        options.trap = trap_of(sandbox, launch);
    }
    return view_new(&options);
}

/* An observed run's init hands up /proc, too, when all stands. */
static bool await_processes(struct launch *launch, struct view *view, GError **error)
{
    launch->view_files[2] = take_up(launch, error);
    if (launch->view_files[2] >= 0)
        view_set_processes(view, launch->view_files[2]);
    return launch->view_files[2] >= 0;
}

/* What connects to the socket is answered once all stands. */
static bool start_trap(const struct sandbox *sandbox, struct launch *launch, struct served *served,
                       GError **error)
{
    const struct plan *plan = launch->plan;
    autofd int listener = plan->trapped ? take_up(launch, error) : -1;
    if ((plan->trapped && listener < 0) || !await_processes(launch, served->view, error))
        return false;
    if (!plan->trapped)
        return true;
    served->trap = sandbox->view->trap;
    served->binds = sandbox_plan_binds(plan);
    served->ground = (struct sandbox_ground){
        .view = served->view,
        .recorder = sandbox->view->recorder,
        .processes = launch->view_files[2],
        .workspace = sandbox->view->workspace,
        .plain = sandbox->view->plain,
        .user_map = plan->user_map,
        .group_map = plan->group_map,
        .binds = served->binds,
    };
    served->trap->listen(fd_steal(&listener), &served->ground, served->trap->user);
    return true;
}

static struct view *make_system(const struct sandbox *sandbox, const struct launch *launch,
                                struct view *beside)
{
    const struct sandbox_view *from = sandbox->view;
    const struct view_options options = {
        .root = launch->view_files[0],
        .fixed = true,
        .owner = geteuid(),
        .group = getegid(),
        .recorder = from->observe_system ? from->recorder : NULL,
        .times = from->observe_system ? from->system_times : NULL,
        .beside = beside,
        .plain = from->plain,
        .trap = trap_of(sandbox, launch),
    };
    return view_new(&options);
}

static bool serve_next(struct launch *launch, struct view *view, GError **error)
{
    int channel = take_up(launch, error);
    return channel >= 0 && view_serve(view, channel, error);
}

bool sandbox_view_start(const struct sandbox *sandbox, struct launch *launch,
                        const struct files *files, struct served *out, GError **error)
{
    if (!open_files(sandbox, launch, error))
        return false;
    out->view = make_view(sandbox, launch, files);
    if (!serve_next(launch, out->view, error))
        return false;
    if (sandbox->view == NULL)
        return true;
    out->system = make_system(sandbox, launch, out->view);
    return serve_next(launch, out->system, error) && start_trap(sandbox, launch, out, error);
}

static void end_trap(const struct served *served)
{
    if (served->trap != NULL)
        served->trap->end(served->trap->user);
}

void sandbox_view_clear(struct served *served)
{
    end_trap(served);
    g_strfreev(served->binds);
    view_free(served->system);
    view_free(served->view);
}

bool sandbox_view_finish(const struct sandbox *sandbox, const struct served *served, int work,
                         GPtrArray *deleted, char ***elsewhere, GError **error)
{
    g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func(g_free);
    struct view *view = served->view;
    end_trap(served);
    if (served->system != NULL)
        view_wait(served->system);
    view_wait(view);
    const char *prefix = sandbox->view == NULL ? "/" : sandbox->view->workspace;
    if (!view_lay_out(view, prefix, work, deleted, sandbox->view == NULL ? NULL : others, error))
        return false;
    if (others->len > 0) {
        g_ptr_array_add(others, NULL);
        *elsewhere = (char **)g_ptr_array_free(g_steal_pointer(&others), FALSE);
    }
    return true;
}
