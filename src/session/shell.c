// SPDX-License-Identifier: Apache-2.0
/* A command in the view that an earlier run had. Nothing is looked up, stored or committed. */
#include "session/shell.h"

#include "base/fault.h"
#include "base/path.h"
#include "cache/cache.h"
#include "sandbox/sandbox.h"

#include <string.h>

enum {
    NAMES_SHOWN = 20
};

struct shell {
    struct session *session;
    GPtrArray *missing; /* char *: what is not shown as the run had it */
    const struct shell_request *request;
    struct history_entry *entry;
    struct action *action;
    struct tree *outputs;  /* with `after`; else NULL */
    struct result *result; /* the same */
};

static bool load_outputs(struct shell *shell, GError **error)
{
    if (!shell->request->after)
        return true;
    shell->result = cache_result(shell->session->store, &shell->entry->key);
    if (shell->result != NULL)
        shell->outputs = store_get_tree(shell->session->store, &shell->result->outputs, NULL);
    return shell->outputs != NULL ||
           fault_set(error, FAULT_MISSING, "what run @%u wrote is not kept",
                     shell->request->number);
}

static bool load(struct shell *shell, GError **error)
{
    struct session *session = shell->session;
    shell->entry = history_find(session->store, session->root, shell->request->number, error);
    if (shell->entry == NULL)
        return false;
    shell->action = kept_action(session, shell->entry);
    if (shell->action == NULL)
        return fault_set(error, FAULT_MISSING, "what run @%u was is not kept any more",
                         shell->request->number);
    struct action *action = shell->action;
    g_strfreev(action->argv);
    action->argv = g_strdupv(shell->request->argv);
    action->stdin_blob = *digest_empty();
    action->timeout = 0;
    return load_outputs(shell, error);
}

static void clear(struct shell *shell)
{
    history_entry_free(shell->entry);
    action_free(shell->action);
    tree_unref(shell->outputs);
    result_free(shell->result);
    g_ptr_array_unref(shell->missing);
}

static void tell(const struct shell *shell, const char *text)
{
    event_emit(shell->session->sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = text });
}

static void tell_missing(const struct shell *shell)
{
    const GPtrArray *missing = shell->missing;
    for (guint i = 0; i < missing->len && i < NAMES_SHOWN; i++) {
        g_autofree char *name = path_quote(missing->pdata[i]);
        g_autofree char *text = g_strdup_printf("not kept any more: %s", name);
        tell(shell, text);
    }
    g_autofree char *more = g_strdup_printf("and %u more", missing->len - NAMES_SHOWN);
    if (missing->len > NAMES_SHOWN)
        tell(shell, more);
}

/* --- execution -------------------------------------------------------------------------------- */

static bool execute(struct shell *shell, const struct sandbox_view *view, int *status,
                    GError **error)
{
    const struct sandbox_options options = {
        .level = SANDBOX_NAMESPACES,
        .view = view,
        .serve = view == NULL,
        .inherit = true,
    };
    struct execution execution = { .directory = -1 };
    tell_missing(shell);
    struct executor *executor = sandbox_new(&options, error);
    if (executor == NULL)
        return false;
    g_autoptr(store_batch) batch = store_batch_new(shell->session->store); /* never committed */
    store_batch_go_on(batch);
    const struct execution_request request = {
        .action = shell->action,
        .store = shell->session->store,
        .workspace = -1,
        .batch = batch,
    };
    bool ok = executor_run(executor, &request, &execution, error);
    executor_free(executor);
    if (ok)
        *status = execution.result->exit_code;
    execution_clear(&execution);
    return ok;
}

/* --- sealed runs ------------------------------------------------------------------------------ */

struct gone {
    struct store *store;
    GArray *changes;    /* struct tree_change */
    GPtrArray *missing; /* char * */
};

static bool find_gone(const char *path, const struct tree_entry *entry, void *user)
{
    struct gone *gone = user;
    if (entry->kind == TREE_FILE && !store_has(gone->store, &entry->digest)) {
        char *name = g_strdup(path);
        const struct tree_change change = { .path = name };
        g_ptr_array_add(gone->missing, name);
        g_array_append_val(gone->changes, change);
    }
    return true;
}

static bool put_output(const char *path, const struct tree_entry *entry, void *user)
{
    const struct tree_change change = { .path = path, .entry = entry };
    struct tree **tree = user;
    const struct tree_entry *there = tree_lookup(*tree, path);
    if (entry->kind == TREE_DIRECTORY &&
        (tree_size(entry->directory) > 0 || (there != NULL && there->kind == TREE_DIRECTORY)))
        return true;
    struct tree *more = tree_apply(*tree, &change, 1, NULL);
    if (more == NULL)
        return false;
    tree_unref(*tree);
    *tree = more;
    return true;
}

/* What lay in the inputs, or has been made of them, and is still in the store. */
static bool provide(struct shell *shell, GError **error)
{
    struct action *action = shell->action;
    for (char **path = shell->result == NULL ? NULL : shell->result->deleted;
         path != NULL && *path != NULL; path++) {
        const struct tree_change change = { .path = *path };
        struct tree *less = tree_apply(action->inputs, &change, 1, NULL);
        if (less == NULL)
            continue;
        tree_unref(action->inputs);
        action->inputs = less;
    }
    if (shell->outputs != NULL && !tree_walk(shell->outputs, put_output, &action->inputs))
        return fault_set(error, FAULT_MISSING, "what the run wrote does not fit its inputs");
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(struct tree_change));
    struct gone gone = { shell->session->store, changes, shell->missing };
    tree_walk(action->inputs, find_gone, &gone);
    struct tree *rest = tree_apply(
        action->inputs, (const struct tree_change *)(void *)changes->data, changes->len, error);
    if (rest == NULL)
        return false;
    tree_unref(action->inputs);
    action->inputs = rest;
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool enter_view(struct shell *shell, int *status, GError **error)
{
    struct session *session = shell->session;
    const char *workspace = action_property(shell->action, "workspace");
    g_autoptr(trace) trace = kept_trace(session, shell->entry, error);
    if (trace == NULL)
        return false;
    g_autoptr(tree) kept = kept_inputs(session, shell->entry);
    g_autoptr(patches) patches = patches_new(workspace);
    gint64 time = shell->entry->time * 1000;
    patches_add_seen(patches, session, trace, kept, time, shell->missing);
    if (shell->outputs != NULL)
        patches_add_outputs(patches, shell->outputs, shell->result, time);
    const struct sandbox_view view = {
        .workspace = workspace,
        .real = strcmp(workspace, session->root) == 0 ? NULL : session->root,
        .patches = patches->list,
    };
    return execute(shell, &view, status, error);
}

bool session_shell(struct session *session, const struct shell_request *request, int *status,
                   GError **error)
{
    struct shell shell = { .session = session, .request = request };
    shell.missing = g_ptr_array_new_with_free_func(g_free);
    bool ok = load(&shell, error);
    if (ok && g_strcmp0(action_property(shell.action, "isolation"), "view") == 0)
        ok = enter_view(&shell, status, error);
    else if (ok)
        ok = provide(&shell, error) && execute(&shell, NULL, status, error);
    clear(&shell);
    return ok;
}
