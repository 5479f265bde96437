// SPDX-License-Identifier: Apache-2.0
/*
 * One run: action -> cache -> executor -> commit. Every command that vial executes goes this way.
 */
#include "action/platform.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "cache/cache.h"
#include "sandbox/sandbox.h"
#include "session/observed.h"
#include "session/run-report.h"
#include "session/session-internal.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * One more than ever needed: other inputs, inputs collected twice, inputs that cannot be served, a
 * level that is not granted.
 */
#define ATTEMPTS 6

struct run {
    struct session *session;
    const struct run_request *request;
    const struct input *input;
    struct run_outcome *out;
    gint64 start;        /* monotonic, microseconds */
    gint64 began;        /* when capture began, ns since the epoch */
    struct store *store; /* the session's, or `spare` when that cannot be written */
    struct store *spare; /* in memory */
    struct action *action;
    char **caches; /* place_caches() */
    struct glob *input_glob, *output_glob;
    struct tree *present; /* the inputs as they lie in the workspace */
    GPtrArray *fifos;     /* char *: FIFOs among them, which only own outputs may be; or NULL */
    struct tree *stale;   /* what declared outputs are before the run; or NULL */
    struct own *own;
    struct observed *observed; /* NULL: nobody has looked yet */
    bool watched;              /* it is sealed, and `observed` learns what it looks at */
    struct digest weak, key;   /* while there is no hit, of the action */
    struct digest seen_weak;   /* what a sealed run's facts are found by */
    struct digest found;       /* key of the result in `cached` */
    gint64 newest;
    struct cached cached;
    struct execution execution;
    struct store_claim *claim;
    struct digest kept;  /* history_entry.kept */
    char *reason;        /* why it runs */
    const char *refusal; /* why its result is not stored; borrowed from the result or `failure` */
    char *failure;       /* what the store said */
    enum sandbox_level level;
    bool no_serve; /* inputs could not be served */
    bool heard;    /* it was the command that was interrupted, and has done with it as it liked */
};

static void run_clear(struct run *run)
{
    store_claim_release(run->claim);
    execution_clear(&run->execution);
    cached_clear(&run->cached);
    own_free(run->own);
    observed_free(run->observed);
    g_clear_pointer(&run->present, tree_unref);
    g_clear_pointer(&run->fifos, g_ptr_array_unref);
    g_clear_pointer(&run->stale, tree_unref);
    glob_free(run->input_glob);
    glob_free(run->output_glob);
    action_free(run->action);
    g_strfreev(run->caches);
    store_close(run->spare);
    g_free(run->failure);
    g_free(run->reason);
}

void run_outcome_clear(struct run_outcome *outcome)
{
    execution_clear(&outcome->execution);
    g_clear_pointer(&outcome->kept, g_free);
}

static bool interrupted(const struct run *run)
{
    return run->request->interrupt != NULL && *run->request->interrupt != 0;
}

static void warn(struct run *run, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void warn(struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    event_emit(run->session->sink, EVENT_WARNING, { "message", EVENT_TEXT, .text = text });
}

/* --- what is to run --------------------------------------------------------------------------- */

/* What a view shows is not captured beforehand. */
static struct glob *nothing(void)
{
    struct glob *glob = glob_new();
    bool ok = glob_add(glob, "", "**", NULL) && glob_add(glob, "", "!**", NULL);
    g_assert(ok);
    return glob;
}

static bool make_action(struct run *run, GError **error)
{
    const struct run_request *request = run->request;
    run->caches = place_caches(run->session, run->request, error);
    if (run->caches == NULL || !place_check(run->session, run->request, error))
        return false;
    struct action *action = run->action = action_new();
    g_strfreev(action->argv);
    g_strfreev(action->environment);
    g_free(action->directory);
    action->argv = g_strdupv(request->argv);
    action->directory = g_strdup(run->session->directory);
    action->stdin_blob = run->input->digest;
    action->timeout = request->timeout;
    action->network = request->network;
    g_autofree char *directory = g_build_filename(SANDBOX_ROOT, run->session->directory, NULL);
    action->environment =
        !request->view
            ? environment_make(request->variables, error)
            : environment_inherit(request->variables, request->canonical ? directory : NULL, error);
    if (action->environment == NULL)
        return false;
    if (request->outputs != NULL) {
        action->outputs = selection_outputs(run->session, request->outputs, error);
        if (action->outputs == NULL)
            return false;
        run->output_glob = action_output_glob(action, error);
        if (run->output_glob == NULL ||
            !selection_exclude(run->session, request->outputs, run->output_glob, error))
            return false;
    }
    if (request->view)
        run->input_glob = nothing();
    else
        run->input_glob = selection_inputs(run->session, request->inputs, error);
    return run->input_glob != NULL;
}

static void report_capture(guint64 files, guint64 bytes, void *user)
{
    struct run *run = user;
    event_emit(run->session->sink, EVENT_CAPTURING,
               { "files", EVENT_NUMBER, .number = (gint64)files },
               { "bytes", EVENT_NUMBER, .number = (gint64)bytes });
}

static struct capture_request capture_request(struct run *run, const struct glob *select)
{
    return (struct capture_request){
        .directory = run->session->root_fd,
        .name = run->session->root,
        .select = select,
        .cache = run->session->stats,
        .jobs = run->request->jobs,
        .cancel = run->request->interrupt,
        .progress = report_capture,
        .user = run,
    };
}

/* Capture the inputs into `present` and `fifos`; with a batch, contents too. */
static bool capture_inputs(struct run *run, struct store_batch *batch, GError **error)
{
    struct capture_request request = capture_request(run, run->input_glob);
    struct capture capture = { 0 };
    gint64 start = g_get_monotonic_time();
    request.batch = batch;
    request.fifos = true;
    if (!store_capture(run->store, &request, &capture, error))
        return false;
    tree_unref(run->present);
    g_clear_pointer(&run->fifos, g_ptr_array_unref);
    run->present = g_steal_pointer(&capture.tree);
    run->fifos = g_steal_pointer(&capture.fifos);
    run->newest = MAX(run->newest, capture.newest);
    event_emit(run->session->sink, EVENT_CAPTURED,
               { "files", EVENT_NUMBER, .number = (gint64)capture.files },
               { "hashed", EVENT_NUMBER, .number = (gint64)capture.files_hashed },
               { "duration", EVENT_SECONDS,
                 .seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC });
    capture_clear(&capture);
    return true;
}

/* What lies where declared outputs will go: commit must know the user's file from an old output. */
static bool capture_stale_outputs(struct run *run, GError **error)
{
    struct capture_request request = capture_request(run, run->output_glob);
    struct capture capture = { 0 };
    request.outputs = true;
    if (run->output_glob == NULL)
        return true;
    if (!store_capture(run->store, &request, &capture, error))
        return false;
    run->stale = g_steal_pointer(&capture.tree);
    capture_clear(&capture);
    return true;
}

/*
 * The workspace and the machine, one after the other: where nothing changed, a second thread costs
 * as much as the machine does, and a large workspace has its own.
 */
static bool observe(struct run *run, GError **error)
{
    /* Not the coarse clock: since 6.13 ctimes can be some milliseconds ahead of it. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    run->began = fd_nanoseconds(now);
    if (run->request->view)
        run->present = tree_empty();
    else if (!capture_inputs(run, NULL, error) || !capture_stale_outputs(run, error) ||
             !selection_check(run->session, run->request->inputs, run->present, error))
        return false;
    const char *isolation = !run->request->view            ? sandbox_level_name(run->level)
                            : run->request->observe_system ? PLATFORM_OBSERVED_SYSTEM
                                                           : PLATFORM_VIEW;
    char **platform = platform_fingerprint(run->session->stats, run->action, isolation, error);
    if (platform == NULL)
        return false;
    if (run->request->view)
        observed_add_platform(place_shown(run->session, run->request),
                              place_told(run->session, run->request, run->action), run->caches,
                              &platform);
    g_strfreev(run->action->platform);
    run->action->platform = platform;
    return true;
}

static struct own_present present_of(const struct run *run)
{
    return (struct own_present){ run->present, run->fifos, run->input_glob };
}

/* Own outputs out, key made. FAULT_UNSUPPORTED: a FIFO is none of them. */
static bool make_key(struct run *run, GError **error)
{
    if (run->own == NULL) {
        action_weak_digest(run->action, &run->weak);
        run->own = own_load(run->store, &run->weak);
    }
    if (run->request->view) { /* what it will see is not known yet */
        action_digest(run->action, &run->weak);
        run->out->key = run->key = run->weak;
        return true;
    }
    const struct own_present present = present_of(run);
    const char *foreign;
    tree_unref(run->action->inputs);
    run->action->inputs = own_roll_back(run->own, run->store, &present, &foreign);
    action_digest(run->action, &run->key);
    run->out->key = run->key;
    if (foreign == NULL)
        return true;
    g_autofree char *path = g_build_filename(run->session->root, foreign, NULL);
    g_autofree char *what = path_quote(path);
    return fault_set(error, FAULT_UNSUPPORTED,
                     "%s is a FIFO, which no sealed run can have as an input: leave it out with -i",
                     what);
}

/* --- reuse ------------------------------------------------------------------------------------ */

/* The first phase has found out what to ask; this is the second. */
static bool find_seen(struct run *run, const struct digest *weak)
{
    g_autoptr(GError) error = NULL;
    if (observed_find(run->observed, weak, &run->found, &run->reason, &error)) {
        cached_clear(&run->cached);
        return cache_find(run->store, &run->found, run->request->cache_failures, &run->cached);
    }
    if (error != NULL)
        run->reason = g_strdup(error->message);
    return false;
}

static bool begin_watch(struct run *run)
{
    observed_free(run->observed);
    run->observed = observed_new(run->session, run->store, place_shown(run->session, run->request));
    run->seen_weak = run->weak;
    return observed_provide(run->observed, run->action, &run->seen_weak, NULL);
}

/* By the key that covers all inputs; or one that differs from it in what was never looked at. */
static bool find_sealed(struct run *run)
{
    run->found = run->key;
    if (cache_find(run->store, &run->key, run->request->cache_failures, &run->cached))
        return true;
    return begin_watch(run) && find_seen(run, &run->seen_weak);
}

static bool look_up(struct run *run)
{
    char text[DIGEST_TEXT_SIZE];
    bool hit = false;
    g_clear_pointer(&run->reason, g_free);
    cached_clear(&run->cached);
    if (run->request->view && run->observed == NULL)
        run->observed =
            observed_new(run->session, run->store, place_shown(run->session, run->request));
    if (run->request->no_cache)
        run->reason = g_strdup("--no-cache");
    else if (run->request->refresh)
        run->reason = g_strdup("--refresh");
    else
        hit = run->request->view ? find_seen(run, &run->weak) : find_sealed(run);
    if (!hit && run->reason == NULL)
        run->reason = g_strdup(run->cached.reason);
    if (hit)
        run->out->key = run->found;
    event_emit(run->session->sink, EVENT_LOOKUP,
               { "key", EVENT_TEXT, .text = digest_print(hit ? &run->found : &run->key, text) },
               { "result", EVENT_TEXT, .text = hit ? "hit" : "miss" },
               { "reason", EVENT_TEXT, .text = run->reason });
    return hit;
}

static bool replay(struct run *run, GBytes *out_bytes, GBytes *err_bytes)
{
    const GArray *order = run->cached.result->order;
    const guint8 *at[] = { [OUTPUT_STDOUT] = g_bytes_get_data(out_bytes, NULL),
                           [OUTPUT_STDERR] = g_bytes_get_data(err_bytes, NULL) };
    for (guint i = 0; run->request->output != NULL && i < order->len; i++) {
        const struct output_piece *piece = &g_array_index(order, struct output_piece, i);
        run->request->output((enum output_stream)piece->stream, at[piece->stream],
                             (size_t)piece->size, run->request->user);
        at[piece->stream] += piece->size;
    }
    return true;
}

static bool commit(struct run *run, const struct tree *outputs, const struct result *result,
                   int source, GError **error)
{
    bool wanted = run->request->commit == COMMIT_ALWAYS ||
                  (run->request->commit == COMMIT_SUCCESS && result->exit_code == 0);
    if (!wanted)
        return true;
    struct commit commit = {
        .session = run->session,
        .present = run->present,
        .present_glob = run->input_glob,
        .inputs = run->action->inputs,
        .fifos = run->fifos,
        .stale = run->stale,
        .stale_glob = run->output_glob,
        .store = run->store,
        .outputs = outputs,
        .result = result,
        .source = source,
        .exact = run->request->view,
        .times = run->request->view && !run->out->hit && run->cached.result == NULL,
        .git_named = run->request->view ||
                     selection_names(run->session, run->request->inputs, ".git") ||
                     selection_names(run->session, run->request->outputs, ".git"),
        .began = run->began,
        .newest = run->newest,
        .cancel = run->heard ? NULL : run->request->interrupt,
    };
    bool ok = commit_outputs(&commit, error);
    event_emit(run->session->sink, EVENT_COMMITTED,
               { "written", EVENT_NUMBER, .number = (gint64)commit.written },
               { "deleted", EVENT_NUMBER, .number = (gint64)commit.deleted },
               { "unchanged", EVENT_NUMBER, .number = (gint64)commit.unchanged },
               { "kept", EVENT_NUMBER, .number = (gint64)commit.kept });
    return ok;
}

static void remember(struct run *run, const struct result *result, bool stored)
{
    struct history_entry entry = {
        .time = g_get_real_time(),
        .workspace = run->session->root,
        .argv = run->action->argv,
        .key = run->key,
        .weak = run->weak,
        .hit = run->out->hit,
        .stored = stored,
        .exit_code = run->out->exit_code,
        .duration = g_get_monotonic_time() - run->start,
        .work = result->wall,
        .kept = run->kept,
        .reason = run->out->hit          ? NULL
                  : run->refusal != NULL ? (char *)run->refusal
                                         : run->reason,
        .miss = run->out->hit || run->refusal == NULL ? NULL : run->reason,
    };
    g_autoptr(GError) error = NULL;
    bool warned = run->failure != NULL || run->spare != NULL;
    if (!history_append(run->session->store, &entry, &error) && !warned &&
        !g_error_matches(error, FAULT, FAULT_READ_ONLY))
        warn(run, "this run is not in the history: %s", error->message);
}

static void finish(struct run *run, const struct result *result, bool stored)
{
    char text[DIGEST_TEXT_SIZE];
    run->out->exit_code = result->exit_code;
    if (run->request->unrecorded)
        return;
    remember(run, result, stored);
    double duration = (double)(g_get_monotonic_time() - run->start) / G_USEC_PER_SEC;
    double work = (double)result->wall / G_USEC_PER_SEC;
    event_emit(run->session->sink, EVENT_FINISHED,
               { "result", EVENT_TEXT, .text = run->out->hit ? "hit" : "run" },
               { "exit", EVENT_NUMBER, .number = result->exit_code },
               { "duration", EVENT_SECONDS, .seconds = duration },
               { "saved", EVENT_SECONDS, .seconds = run->out->hit ? MAX(work - duration, 0) : 0 },
               { "key", EVENT_TEXT, .text = digest_print(&run->key, text) },
               { "stored", EVENT_BOOLEAN, .boolean = stored },
               { "reason", EVENT_TEXT,
                 .text = run->out->hit          ? NULL
                         : run->refusal != NULL ? run->refusal
                                                : run->reason });
}

/*
 * Deliver a cached result. False without *error: a blob turned out damaged on its way out, so the
 * hit was none and the command must run.
 */
static bool deliver(struct run *run, GError **error)
{
    const struct result *result = run->cached.result;
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) out_bytes = store_get(run->store, &result->stdout_blob, &local);
    g_autoptr(GBytes) err_bytes =
        out_bytes == NULL ? NULL : store_get(run->store, &result->stderr_blob, &local);
    if (err_bytes == NULL || !commit(run, run->cached.outputs, result, -1, &local)) {
        bool gone = g_error_matches(local, FAULT, FAULT_MISSING) ||
                    g_error_matches(local, FAULT, FAULT_CORRUPT);
        if (!gone)
            g_propagate_error(error, g_steal_pointer(&local));
        g_free(run->reason);
        run->reason = g_strdup("a stored output is gone or damaged");
        run->out->key = run->key;
        cached_clear(&run->cached);
        return false;
    }
    run->out->hit = true;
    run->key = run->found;
    replay(run, out_bytes, err_bytes);
    report_missing(run->session->sink, result);
    finish(run, result, true);
    return true;
}

/* --- execution -------------------------------------------------------------------------------- */

static bool same_paths(const GPtrArray *a, const GPtrArray *b)
{
    guint length = a == NULL ? 0 : a->len;
    if (length != (b == NULL ? 0 : b->len))
        return false;
    for (guint i = 0; i < length; i++)
        if (strcmp(a->pdata[i], b->pdata[i]) != 0)
            return false;
    return true;
}

/*
 * Contents of the inputs into the store, which often has them all: another command had the same.
 * The key was made from digests alone, so otherwise the contents are captured again: *changed if
 * they are no longer those of the key. What is collected meanwhile is missed when it is laid out.
 */
static bool store_inputs(struct run *run, bool *changed, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(run->store);
    if (!input_put(run->input, batch, error))
        return false;
    if (store_batch_count_on(batch, run->present))
        return store_batch_put_tree(batch, run->present, error) && store_batch_commit(batch, error);
    g_autoptr(tree) before = tree_ref(run->present);
    g_autoptr(GPtrArray) fifos = run->fifos == NULL ? NULL : g_ptr_array_ref(run->fifos);
    if (!capture_inputs(run, batch, error))
        return false;
    *changed = !digest_equal(tree_digest(before), tree_digest(run->present)) ||
               !same_paths(fifos, run->fifos);
    return store_batch_commit(batch, error);
}

/* The store cannot take the inputs: run all the same, from memory, and keep nothing. */
static bool use_spare_store(struct run *run, const GError *cause)
{
    if (run->spare != NULL || g_error_matches(cause, FAULT, FAULT_CANCELLED) ||
        g_error_matches(cause, FAULT, FAULT_UNSUPPORTED) ||
        g_error_matches(cause, FAULT, FAULT_CHANGED))
        return false;
    warn(run, "running without the store: %s", cause->message);
    run->spare = store_new_memory();
    run->store = run->spare;
    return true;
}

static bool provide_inputs(struct run *run, bool *changed, GError **error)
{
    g_autoptr(GError) local = NULL;
    if (store_inputs(run, changed, &local))
        return true;
    if (!g_error_matches(local, FAULT, FAULT_MISSING) && use_spare_store(run, local)) {
        if (!store_inputs(run, changed, error))
            return false;
        return make_key(run, error); /* what was rolled back to lies in the unusable store */
    }
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

/* Inputs are laid out as files only where they cannot be served, or are to be kept. */
static bool can_serve(const struct run *run)
{
    return !run->request->keep && !run->no_serve && access("/dev/fuse", R_OK | W_OK) == 0;
}

/* Is what a sealed run looks at on record? Where it has its inputs as files, nobody sees that. */
static bool can_watch(struct run *run)
{
    return !run->request->view && !run->request->no_cache && run->request->vary == 0 &&
           run->level == SANDBOX_NAMESPACES && can_serve(run) &&
           (run->observed != NULL || begin_watch(run)); /* nobody has asked, or by the whole key */
}

static bool execute(struct run *run, struct store_batch *batch, GError **error)
{
    const char *workspace = place_shown(run->session, run->request);
    const struct trap_policy policy = {
        .scope = run->request->view ? run->request->trap : TRAP_NOTHING,
    };
    g_autoptr(trap) trap = trap_new(&policy);
    struct sandbox_view view = {
        .workspace = workspace,
        .shared = run->caches,
        .real = strcmp(workspace, run->session->root) == 0 ? NULL : run->session->root,
        .plain = run->request->view_plain,
        .observe_system = run->request->observe_system,
        .trap = trap_sandbox(trap),
        .system_times = run->observed == NULL ? NULL : observed_system_times(run->observed),
    };
    struct sandbox_options options = {
        .level = run->level,
        .vary = run->request->vary,
        .serve = can_serve(run),
    };
    run->watched = can_watch(run);
    if (run->request->view) {
        view.recorder = observed_recorder(run->observed);
        if (place_told(run->session, run->request, run->action) != NULL)
            recorder_except(view.recorder, run->session->root);
        view.times = observed_times(run->observed);
        options.view = &view;
    } else if (run->watched) {
        options.recorder = observed_recorder(run->observed);
    }
    struct executor *executor = sandbox_new(&options, error);
    if (executor == NULL)
        return false;
    struct execution_request request = {
        .action = run->action,
        .store = run->store,
        .workspace = run->session->root_fd,
        .batch = batch,
        .output = run->request->output,
        .user = run->request->user,
        .interrupt = run->request->interrupt,
        .interrupt_count = run->request->interrupt_count,
        .jobs = run->request->jobs,
        .keep = run->request->keep,
    };
    char text[DIGEST_TEXT_SIZE];
    event_emit(run->session->sink, EVENT_STARTED,
               { "argv", EVENT_TEXTS, .texts = (const char *const *)run->action->argv },
               { "key", EVENT_TEXT, .text = digest_print(&run->key, text) },
               { "level", EVENT_TEXT, .text = sandbox_level_name(run->level) });
    bool ok = executor_run(executor, &request, &run->execution, error);
    executor_free(executor);
    run->heard = interrupted(run);
    report_trapped(run->session->sink, trap);
    if (!ok && error != NULL && g_error_matches(*error, FAULT, FAULT_NOT_FOUND))
        hint_at_program(run->action->argv[0], error);
    return ok;
}

/* Why the result must not be reused, or NULL (V8). */
static const char *refusal(const struct run *run)
{
    if (interrupted(run))
        return "it was interrupted";
    if (run->spare != NULL)
        return "the store could not be written";
    const char *unseen = run->request->view || run->watched ? observed_seal(run->observed) : NULL;
    if (run->action->network)
        return "it could use the network";
    if (run->watched) /* the key of all inputs holds all the same */
        unseen = NULL;
    return unseen != NULL ? unseen : cache_refusal(run->execution.result);
}

static bool fail_to_store(struct run *run, const GError *error)
{
    run->refusal = run->failure = g_strdup(error->message);
    return false;
}

/* For people: without it the result is as good. */
static void keep_to_look_at(struct run *run, struct store_batch *batch)
{
    if (!interrupted(run) && !observed_keep(run->observed, batch, &run->kept, NULL))
        run->kept.size = 0;
}

/* The same of a run in a view; its action is kept by its weak key, for `vial why`. */
static bool store_observed(struct run *run, struct store_batch *batch)
{
    struct digest ignored;
    struct result *result = run->execution.result;
    g_autoptr(GError) error = NULL;
    if (run->refusal == NULL) {
        if (!observed_record(run->observed, batch, &run->weak, result, &run->key, &error))
            return fail_to_store(run, error);
        g_array_append_val(result->observed, run->weak);
        cache_record(batch, &run->key, result);
        run->out->key = run->key;
    }
    if (!action_store(run->action, batch, &ignored, &error))
        return fail_to_store(run, error);
    keep_to_look_at(run, batch);
    observed_learn(run->observed, run->execution.outputs, result, batch);
    stat_cache_flush(run->session->stats, batch);
    if (!store_batch_commit(batch, &error))
        return fail_to_store(run, error);
    return run->refusal == NULL;
}

/* By what else it may be found: what it looked at. */
static bool store_seen(struct run *run, struct store_batch *batch)
{
    g_autoptr(GError) error = NULL;
    struct digest key = run->key;
    if (!run->watched)
        return true;
    keep_to_look_at(run, batch);
    return observed_refusal(run->observed) != NULL ||
           observed_record(run->observed, batch, &run->seen_weak, run->execution.result, &key,
                           &error) ||
           fail_to_store(run, error);
}

/* Result, own outputs, action and what was learned about files: all in one commit, or none. */
static bool store_result(struct run *run, struct store_batch *batch)
{
    const struct result *result = run->execution.result;
    struct digest ignored;
    g_autoptr(GError) error = NULL;
    run->refusal = refusal(run);
    if (run->request->no_cache || run->spare != NULL)
        return false;
    if (run->request->view)
        return store_observed(run, batch);
    if (own_learn(run->own, run->action->inputs, run->execution.outputs, result)) {
        const struct own_present present = present_of(run);
        own_forget(run->own, &present, run->execution.outputs, result);
        own_record(run->own, batch, &run->weak);
    }
    if (run->refusal == NULL && store_seen(run, batch))
        cache_record(batch, &run->key, result);
    stat_cache_flush(run->session->stats, batch);
    if (action_store(run->action, batch, &ignored, &error) && store_batch_commit(batch, &error))
        return run->refusal == NULL;
    return fail_to_store(run, error);
}

static bool run_command(struct run *run, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(run->store);
    store_batch_go_on(batch); /* outputs reach the workspace even if they do not fit the store */
    if (!execute(run, batch, error))
        return false;
    if (tree_size(run->execution.outputs) == 0)
        execution_let_go(&run->execution); /* beside the writing of the result */
    store_batch_heed(batch, run->heard ? NULL : run->request->interrupt);
    bool stored = store_result(run, batch);
    if (run->refusal != NULL && run->spare == NULL && !interrupted(run) && !run->action->network)
        warn(run, "not stored: %s", run->refusal);
    const struct result *result = run->execution.result;
    if (!commit(run, run->execution.outputs, result, run->execution.directory, error)) {
        bool left = error != NULL && g_error_matches(*error, FAULT, FAULT_CANCELLED);
        run->out->exit_code = left ? 128 + *run->request->interrupt : result->exit_code;
        remember(run, result, stored);
        return false;
    }
    report_missing(run->session->sink, result);
    report_dropped(run->session->sink, run->execution.elsewhere);
    if (stored)
        trim_store(run->session->sink, run->store, &run->key, run->request->store_limit);
    run->out->kept = g_steal_pointer(&run->execution.kept);
    finish(run, result, stored);
    run->out->execution = run->execution;
    run->execution = (struct execution){ .directory = -1 };
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Wait for another process that runs the same action; what it stored is then found. */
static bool claim(struct run *run, bool *waited, GError **error)
{
    char text[DIGEST_TEXT_SIZE];
    *waited = false;
    if (run->request->no_cache || run->claim != NULL)
        return true;
    run->claim = store_claim(run->store, &run->key, run->request->interrupt, waited, error);
    if (*waited)
        event_emit(run->session->sink, EVENT_WAITING,
                   { "key", EVENT_TEXT, .text = digest_print(&run->key, text) });
    return run->claim != NULL;
}

/*
 * The level is part of the key, and finding it out for certain costs a clone, so the best one is
 * assumed until it fails: a result made at that level is as good on a machine that lacks it.
 */
static bool find_level(struct run *run)
{
    if (run->request->view || run->level != SANDBOX_NAMESPACES ||
        sandbox_probe(NULL) == SANDBOX_NAMESPACES)
        return false;
    run->level = SANDBOX_DIRECTORY;
    for (char **property = run->action->platform; *property != NULL; property++)
        if (g_str_has_prefix(*property, "isolation=")) {
            g_free(*property);
            *property = g_strconcat("isolation=", sandbox_level_name(run->level), NULL);
        }
    g_clear_pointer(&run->own, own_free);
    return true;
}

/* Own outputs are known by the level, too, so that FIFOs may be those of another. */
static bool lower_level(struct run *run, const GError *cause)
{
    if (!run->request->view && g_error_matches(cause, FAULT, FAULT_VIEW)) {
        run->no_serve = true;
        return true;
    }
    return (g_error_matches(cause, FAULT, FAULT_SANDBOX) ||
            g_error_matches(cause, FAULT, FAULT_UNSUPPORTED)) &&
           find_level(run);
}

/* A dry run does nothing that could fail and so show that the level is lower. */
static bool foresee(struct run *run, bool hit, GError **error)
{
    if (!hit && run->request->view && sandbox_probe(NULL) != SANDBOX_NAMESPACES)
        return fault_set(error, FAULT_SANDBOX, "this machine refuses the namespaces of a view");
    if (!hit && find_level(run)) {
        if (!make_key(run, error))
            return false;
        hit = look_up(run);
    }
    run->out->hit = hit;
    run->out->would_run = !hit;
    return true;
}

/*
 * Would another attempt end otherwise? Not once the command has run. Another process may have
 * collected the inputs before they were laid out; one that goes on collecting is escaped from.
 */
static bool may_try_again(struct run *run, const GError *cause, int attempt)
{
    if (run->execution.result != NULL)
        return false;
    if (g_error_matches(cause, FAULT, FAULT_MISSING))
        return attempt == 0 || use_spare_store(run, cause);
    return lower_level(run, cause);
}

static bool learn_and_deliver(struct run *run, GError **error)
{
    bool learned = stat_cache_dirty(run->session->stats) || observed_has_learned(run->observed);
    if (learned && !store_is_read_only(run->store)) {
        g_autoptr(store_batch) batch = store_batch_new(run->store);
        observed_flush(run->observed, batch);
        stat_cache_flush(run->session->stats, batch);
        store_batch_commit(batch, NULL); /* a cache: what it does not hold is hashed again */
    }
    return deliver(run, error);
}

/*
 * One attempt: true if the run is over. The inputs may have become others while their contents were
 * stored; then it is those contents that are run with, once their key has been looked up.
 */
static bool attempt(struct run *run, bool *provided, GError **error)
{
    bool waited = false, changed = false;
    if (!make_key(run, error))
        return false;
    bool hit = look_up(run);
    if (run->request->dry_run)
        return foresee(run, hit, error);
    if (!hit && !claim(run, &waited, error))
        return false;
    if (waited)
        hit = look_up(run);
    g_autoptr(GError) local = NULL;
    if (hit && learn_and_deliver(run, &local))
        return true;
    if (local == NULL && !*provided)
        *provided = provide_inputs(run, &changed, &local);
    if (local == NULL && !changed && run_command(run, &local))
        return true;
    if (local != NULL)
        g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

static bool look_up_or_run(struct run *run, GError **error)
{
    bool provided = false;
    for (int number = 0; number < ATTEMPTS; number++) {
        g_autoptr(GError) local = NULL;
        if (attempt(run, &provided, &local))
            return true;
        store_claim_release(g_steal_pointer(&run->claim));
        if (local == NULL)
            continue;
        if (!may_try_again(run, local, number)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
        provided = false;
    }
    return fault_set(error, FAULT_CHANGED,
                     "the inputs below %s keep changing while they are read; run again when "
                     "nothing writes there, or leave the changing files out with -i",
                     run->session->root);
}

/* A run that ended before there was a result; its action is stored for whoever asks why it ran. */
static void remember_interrupted(struct run *run)
{
    const struct result none = { .wall = 0 };
    g_autoptr(store_batch) batch = store_batch_new(run->store);
    struct digest ignored;
    if (!run->request->no_cache && run->spare == NULL &&
        action_store(run->action, batch, &ignored, NULL))
        store_batch_commit(batch, NULL);
    run->refusal = "it was interrupted";
    run->out->exit_code = 128 + *run->request->interrupt;
    remember(run, &none, false);
}

bool run_with_input(struct session *session, const struct run_request *request,
                    const struct input *input, struct run_outcome *out, GError **error)
{
    *out = (struct run_outcome){ .execution = { .directory = -1 } };
    struct run run = {
        .session = session,
        .request = request,
        .input = input,
        .out = out,
        .start = g_get_monotonic_time(),
        .store = session->store,
        .execution = { .directory = -1 },
    };
    stat_cache_heed(session->stats, request->interrupt);
    bool ok = make_action(&run, error) && observe(&run, error) && look_up_or_run(&run, error);
    stat_cache_heed(session->stats, NULL);
    if (!ok && run.reason != NULL && run.execution.result == NULL && !request->unrecorded &&
        !request->dry_run && interrupted(&run))
        remember_interrupted(&run);
    run_clear(&run);
    return ok;
}

bool session_run(struct session *session, const struct run_request *request,
                 struct run_outcome *out, GError **error)
{
    struct input input;
    *out = (struct run_outcome){ .execution = { .directory = -1 } };
    if (!input_open(request, &input, error))
        return false;
    bool ok = run_with_input(session, request, &input, out, error);
    input_close(&input);
    return ok;
}
