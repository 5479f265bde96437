// SPDX-License-Identifier: Apache-2.0
/* Loads the rules of a workspace and runs one query. */
#include "cli/query.h"
#include "base/path.h"

#include <signal.h>
#include <stdio.h>

void query_report(const struct graph_error *report, const char *prefix)
{
    if (report->file != NULL && report->line > 0)
        fprintf(stderr, "%s:%u: ", report->file, report->line);
    else if (report->file != NULL)
        fprintf(stderr, "%s: ", report->file);
    fprintf(stderr, "%s%s\n", prefix, report->message);
}

const char *query_happening(enum engine_happening happening)
{
    static const char *const names[] = {
        [ENGINE_RAN] = "ran",      [ENGINE_CLEANED] = "cleaned",   [ENGINE_MEMOISED] = "memoized",
        [ENGINE_BROKE] = "failed", [ENGINE_DROPPED] = "cancelled",
    };
    return names[happening];
}

/* What whoever wrote the rule calls this process, or NULL. */
static const char *description_of(const struct engine_instance *instance)
{
    const struct value *only = instance->param_count == 1 ? instance->params[0] : NULL;
    if (only == NULL || g_strcmp0(value_record_name(only), "Process") != 0)
        return NULL;
    const struct value *text = value_field(only, "description");
    return text == NULL ? NULL : value_bytes(text, NULL);
}

char *query_instance(const struct engine_instance *instance)
{
    const char *description = description_of(instance);
    if (description != NULL) {
        g_autofree char *quoted = path_quote(description);
        return g_strdup_printf("%s %s", instance->rule, quoted);
    }
    GString *out = g_string_new(instance->rule);
    g_string_append_c(out, '(');
    for (gsize i = 0; i < instance->param_count; i++) {
        g_autofree char *text = value_print(instance->params[i], 80);
        g_string_append_printf(out, "%s%s", i == 0 ? "" : ", ", text);
    }
    g_string_append_c(out, ')');
    return g_string_free(out, FALSE);
}

/* Rules and graph; false after printing what is wrong with them. */
static bool open_graph(struct query_setup *setup)
{
    const struct rules_options options = { .root = session_workspace(setup->session) };
    setup->rules = rules_load("vial.lua", &options);
    setup->graph = graph_solve(rules_graph_input(setup->rules));
    gsize errors;
    const struct graph_error *reports = graph_errors(setup->graph, &errors);
    for (gsize i = 0; i < errors; i++)
        query_report(&reports[i], "");
    return errors == 0;
}

static bool open_engine(struct query_setup *setup, int jobs, GError **error)
{
    const char *workspace = session_workspace(setup->session);
    const struct intrinsics_options options = { workspace, setup->store, (unsigned)jobs };
    gsize count;
    setup->intrinsics = intrinsics_new(&options, error);
    if (setup->intrinsics == NULL)
        return false;
    setup->engine_rules = rules_for_engine(setup->rules);
    const struct engine_rule *own = intrinsics_rules(setup->intrinsics, &count);
    g_array_append_vals(setup->engine_rules, own, (guint)count);
    const struct engine_options engine = {
        .graph = setup->graph,
        .rules = (const struct engine_rule *)(void *)setup->engine_rules->data,
        .rule_count = setup->engine_rules->len,
        .world = intrinsics_world(setup->intrinsics),
        .store = setup->store,
        .scope = workspace,
    };
    setup->engine = engine_new(&engine, error);
    return setup->engine != NULL;
}

int query_open(struct query_setup *setup, int jobs)
{
    int status = EXIT_FAILED;
    g_autoptr(GError) error = NULL;
    g_autofree char *here = g_get_current_dir();
    setup->store = open_store(false, &status);
    if (setup->store == NULL)
        return status;
    setup->session = session_open(here, setup->store, NULL, &error);
    if (setup->session == NULL)
        return fail(error);
    if (!open_graph(setup))
        return EXIT_NO;
    return open_engine(setup, jobs, &error) ? EXIT_OK : fail(error);
}

static struct engine *interrupted;
static struct watch *watched;
static volatile sig_atomic_t signal_number;

void query_close(struct query_setup *setup)
{
    interrupted = NULL;
    engine_free(setup->engine);
    intrinsics_free(setup->intrinsics);
    g_clear_pointer(&setup->engine_rules, g_array_unref);
    graph_free(setup->graph);
    rules_free(setup->rules);
    session_close(setup->session);
    store_close(setup->store);
    g_free(setup->output);
    g_clear_pointer(&setup->params, g_ptr_array_unref);
}

int query_refresh(struct query_setup *setup, int jobs)
{
    const struct rules_options options = { .root = session_workspace(setup->session) };
    g_autoptr(rules) now = rules_load("vial.lua", &options);
    if (setup->engine != NULL && digest_equal(rules_digest(now), rules_digest(setup->rules)))
        return EXIT_OK;
    query_close(setup);
    *setup = (struct query_setup){ 0 };
    return query_open(setup, jobs);
}

/* --- running ---------------------------------------------------------------------------------- */

static void on_signal(int number)
{
    signal_number = number;
    if (interrupted != NULL)
        engine_cancel(interrupted);
    if (watched != NULL)
        watch_stop(watched);
}

int query_signal(void)
{
    return signal_number;
}

void query_interrupts(struct watch *watch)
{
    watched = watch;
}

static void handle_signals(struct engine *engine)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    const struct sigaction action = { .sa_handler = on_signal };
    struct sigaction present;
    interrupted = engine;
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (sigaction(numbers[i], NULL, &present) == 0 && present.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

static int ask(struct engine *engine, const struct engine_request *request, struct value **value)
{
    struct engine_result result = { 0 };
    g_autoptr(GError) error = NULL;
    handle_signals(engine);
    if (!engine_run(engine, request, 1, &result, &error))
        return fail(error);
    *value = g_steal_pointer(&result.value);
    if (*value == NULL)
        fprintf(stderr, "vial: %s\n", result.error);
    engine_results_clear(&result, 1);
    return *value != NULL ? EXIT_OK : signal_number != 0 ? 128 + signal_number : EXIT_NO;
}

int query_run(struct query_setup *setup, const char *text, struct value **value)
{
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&setup->output, g_free);
    g_clear_pointer(&setup->params, g_ptr_array_unref);
    if (!rules_evaluate_query(setup->rules, text, &setup->output, &setup->params, &error))
        return fail(error);
    const char *output = setup->output;
    GPtrArray *params = setup->params;
    g_autofree const char **types = g_new0(const char *, params->len + 1);
    for (guint i = 0; i < params->len; i++)
        types[i] = value_record_name(params->pdata[i]);
    struct graph_error *undeclared = NULL;
    if (!graph_input_declares(rules_graph_input(setup->rules), output, types, &undeclared)) {
        fprintf(stderr, "vial: %s\n", undeclared->message);
        graph_error_free(undeclared);
        return EXIT_NO;
    }
    const struct engine_request request = { output, (struct value *const *)params->pdata,
                                            params->len };
    return ask(setup->engine, &request, value);
}
