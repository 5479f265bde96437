// SPDX-License-Identifier: Apache-2.0
/* Action -> cache -> executor -> store, without a workspace. */
#include "cache/perform.h"

#include "action/platform.h"
#include "base/fault.h"
#include "sandbox/sandbox.h"

#include <unistd.h>

void performed_clear(struct performed *performed)
{
    result_free(performed->result);
    g_free(performed->refusal);
    *performed = (struct performed){ 0 };
}

char **perform_platform(struct stat_cache *stats, const struct action *action, GError **error)
{
    return platform_fingerprint(stats, action, sandbox_level_name(sandbox_probe(NULL)), error);
}

static bool find(const struct perform_request *request, struct performed *out)
{
    struct cached cached = { 0 };
    out->hit = cache_find(request->store, &out->key, true, &cached);
    if (out->hit)
        out->result = g_steal_pointer(&cached.result);
    cached_clear(&cached);
    return out->hit;
}

/* Inputs are served where that can be done, else laid out as files. */
static bool execute(const struct perform_request *request, struct store_batch *batch,
                    struct execution *out, GError **error)
{
    struct sandbox_options options = { .level = sandbox_probe(NULL) };
    options.serve = options.level == SANDBOX_NAMESPACES && access("/dev/fuse", R_OK | W_OK) == 0;
    const struct execution_request execution = {
        .action = request->action,
        .store = request->store,
        .workspace = -1,
        .batch = batch,
        .interrupt = request->interrupt,
        .interrupt_count = request->interrupt_count,
        .jobs = request->jobs,
    };
    for (;;) {
        g_autoptr(GError) local = NULL;
        struct executor *executor = sandbox_new(&options, &local);
        bool ok = executor != NULL && executor_run(executor, &execution, out, &local);
        if (executor != NULL)
            executor_free(executor);
        if (ok)
            return true;
        if (!options.serve || !g_error_matches(local, FAULT, FAULT_VIEW)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
        options.serve = false;
    }
}

static bool run(const struct perform_request *request, struct performed *out, GError **error)
{
    struct execution execution = { .directory = -1 };
    struct digest stored;
    g_autoptr(store_batch) batch = store_batch_new(request->store);
    bool ok = execute(request, batch, &execution, error);
    if (ok) {
        bool interrupted = request->interrupt != NULL && *request->interrupt != 0;
        const char *refusal = interrupted ? "it was interrupted" : cache_refusal(execution.result);
        out->refusal = g_strdup(refusal);
        if (refusal == NULL)
            cache_record(batch, &out->key, execution.result);
        ok = action_store(request->action, batch, &stored, error) &&
             store_batch_commit(batch, error);
    }
    if (ok)
        out->result = g_steal_pointer(&execution.result);
    execution_clear(&execution);
    return ok;
}

bool cache_perform(const struct perform_request *request, struct performed *out, GError **error)
{
    struct action *action = request->action;
    bool waited = false;
    *out = (struct performed){ 0 };
    char **platform = perform_platform(request->stats, action, error);
    if (platform == NULL)
        return false;
    g_strfreev(action->platform);
    action->platform = platform;
    action_digest(action, &out->key);
    if (find(request, out))
        return true;
    struct store_claim *claim =
        store_claim(request->store, &out->key, request->interrupt, &waited, error);
    if (claim == NULL)
        return false;
    bool ok = (waited && find(request, out)) || run(request, out, error);
    store_claim_release(claim);
    return ok;
}
