// SPDX-License-Identifier: Apache-2.0
/*
 * The executor's run: start the processes, and while they build the sandbox, fill work/; then let
 * the command go, and take in what it left.
 */
#include "sandbox/sandbox-internal.h"

#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "store/materialize.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cancelled(const struct execution_request *request, GError **error)
{
    if (request->interrupt == NULL || *request->interrupt == 0)
        return false;
    return !fault_set(error, FAULT_CANCELLED, "interrupted");
}

static bool provide_input(struct launch *launch, const struct execution_request *request,
                          GError **error)
{
    const struct plan *plan = launch->plan;
    if (plan->input == NULL)
        return true;
    if (!store_write_file(request->store, &request->action->stdin_blob, launch->directory,
                          plan->input, 0444, -1, error))
        return false;
    return fchmodat(launch->directory, plan->input, 0444, 0) == 0 || /* whatever the umask */
           fault_errno(error, errno, "cannot open standard input to the command");
}

static bool is_served(const struct sandbox *sandbox)
{
    return sandbox->view != NULL || sandbox->serve;
}

static bool fill(const struct sandbox *sandbox, struct launch *launch, struct files *files,
                 GError **error)
{
    const struct execution_request *request = files->request;
    if (!provide_input(launch, request, error) ||
        (!is_served(sandbox) && !sandbox_provide(files, error)))
        return false;
    if (sandbox->vary == 0)
        return true;
    if (sandbox->vary % 2 == 1 &&
        !sandbox_reorder(launch->directory, files->work, files->provided, error))
        return false;
    sandbox_await_second();
    return true;
}

static bool go(const struct sandbox *sandbox, struct launch *launch, struct files *files,
               struct execution *out, GError **error)
{
    const struct execution_request *request = files->request;
    return fill(sandbox, launch, files, error) && !cancelled(request, error) &&
           sandbox_watch(launch, request, out->result, error);
}

/*
 * Of an observed run nothing is known beforehand, so what is gone is known from the view alone. A
 * pattern may be for directories only, so the workspace says what it was.
 */
static bool tell_deleted(const struct files *files, struct result *result, GError **error)
{
    const struct execution_request *request = files->request;
    g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(glob) outputs = NULL;
    if (request->action->outputs != NULL &&
        (outputs = action_output_glob(request->action, error)) == NULL)
        return false;
    for (guint i = 0; i < files->deleted->len; i++) {
        const char *path = files->deleted->pdata[i];
        struct stat status;
        bool directory = fstatat(request->workspace, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                         S_ISDIR(status.st_mode);
        if (outputs == NULL || glob_match(outputs, path, directory))
            g_ptr_array_add(told, g_strdup(path));
    }
    if (told->len == 0)
        return true;
    g_ptr_array_add(told, NULL);
    result->deleted = (char **)g_ptr_array_free(g_steal_pointer(&told), FALSE);
    return true;
}

/* Inputs are not laid out but served; what was written is laid out instead. */
static bool go_served(const struct sandbox *sandbox, struct launch *launch, struct files *files,
                      struct execution *out, GError **error)
{
    files->deleted = g_ptr_array_new_with_free_func(g_free);
    struct served served = { 0 };
    bool ok =
        sandbox_view_start(sandbox, launch, files, &served, error) &&
        go(sandbox, launch, files, out, error) &&
        sandbox_view_finish(sandbox, &served, files->work, files->deleted, &out->elsewhere, error);
    if (ok && sandbox->view != NULL)
        ok = tell_deleted(files, out->result, error);
    if (!ok)
        sandbox_land(launch); /* nobody is left to ask the views, which can then go */
    sandbox_view_clear(&served);
    return ok;
}

static void let_go(void *private)
{
    sandbox_let_go(private);
}

static void release(void *private)
{
    sandbox_land(private);
    g_free(private);
}

/* From here on the execution owns the run's directory and processes. */
static bool hand_over(struct launch *launch, struct files *files, struct execution *out,
                      GError **error)
{
    if (launch->plan->keep) {
        if (!sandbox_write_rerun(launch, files->request->action, error))
            return false;
        launch->keep = true;
        out->kept = g_strdup(launch->plan->path);
    }
    out->directory = fd_steal(&files->work);
    out->private = g_memdup2(launch, sizeof *launch);
    out->let_go = let_go;
    out->release = release;
    return true;
}

bool sandbox_run(struct executor *executor, const struct execution_request *request,
                 struct execution *out, GError **error)
{
    const struct sandbox *sandbox = (const struct sandbox *)executor;
    struct launch launch;
    if (cancelled(request, error) ||
        !sandbox_launch(sandbox, request->action, request->keep, &launch, error))
        return false;
    g_autofree char *name = g_strconcat(launch.plan->path, "/work", NULL);
    struct files files = {
        .request = request,
        .work = openat(launch.directory, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .name = name,
        .separate = sandbox->separate,
        .recorder = sandbox->recorder,
    };
    out->result = result_new();
    bool ok = (files.work >= 0 || fault_errno(error, errno, "cannot open %s", name)) &&
              sandbox_complete(&files, error) &&
              (is_served(sandbox) ? go_served : go)(sandbox, &launch, &files, out, error) &&
              sandbox_collect(&files, out, error) && hand_over(&launch, &files, out, error);
    sandbox_files_clear(&files);
    fd_close(&files.work);
    if (ok)
        return true;
    g_clear_pointer(&out->result, result_free);
    g_clear_pointer(&out->outputs, tree_unref);
    sandbox_land(&launch);
    return false;
}
