// SPDX-License-Identifier: Apache-2.0
/* vial run: the options, the terminal, the exit status. */
#include "base/fault.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "sandbox/sandbox.h"
#include "session/session.h"
#include "ui/ui.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --check was not given. */
#define NO_CHECK (-1)

struct arguments {
    char **inputs, **outputs, **variables, **caches;
    char *directory, *stdin_file, *commit, *events, *system, *trap;
    double timeout;
    gboolean view, canonical, sealed, view_plain, network, no_cache, refresh, cache_failures, keep,
        dry_run;
    int check, jobs;
    guint64 store_limit;
    char **argv; /* borrowed */
};

static void arguments_clear(struct arguments *arguments)
{
    g_strfreev(arguments->inputs);
    g_strfreev(arguments->outputs);
    g_strfreev(arguments->variables);
    g_strfreev(arguments->caches);
    g_free(arguments->directory);
    g_free(arguments->stdin_file);
    g_free(arguments->commit);
    g_free(arguments->events);
    g_free(arguments->system);
    g_free(arguments->trap);
}

static enum parsed parse(int argc, char **argv, struct arguments *out)
{
    const GOptionEntry entries[] = {
        { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &out->inputs,
          "An input: the command is sealed, and sees nothing else", "PATH|GLOB" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &out->outputs,
          "An output (default: whatever changes)", "PATH|GLOB" },
        { "env", 'e', 0, G_OPTION_ARG_FILENAME_ARRAY, &out->variables,
          "Set a variable, or pass on the caller's", "NAME[=VALUE]" },
        { "directory", 'C', 0, G_OPTION_ARG_FILENAME, &out->directory, "Start in DIR", "DIR" },
        { "stdin", 0, 0, G_OPTION_ARG_FILENAME, &out->stdin_file, "The command's standard input",
          "FILE" },
        { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &out->timeout,
          "End the command after S seconds, with status 124", "S" },
        { "net", 0, 0, G_OPTION_ARG_NONE, &out->network,
          "Allow the network; the result is not kept", NULL },
        { "sealed", 0, 0, G_OPTION_ARG_NONE, &out->sealed,
          "Seal the command; without -i all of the workspace is its input", NULL },
        { "view", 0, 0, G_OPTION_ARG_NONE, &out->view,
          "Let the command see the host through an observing file system", NULL },
        { "system", 0, 0, G_OPTION_ARG_STRING, &out->system,
          "What lies in /usr and /etc: vouched for (default), or on record file by file",
          "bind|observe" },
        { "cache-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &out->caches,
          "In a view: DIR is no input and no output; it is used and written as it is", "DIR" },
        { "canonical", 0, 0, G_OPTION_ARG_NONE, &out->canonical,
          "In a view: show the workspace at /workspace, so that checkouts share results", NULL },
        { "trap", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &out->trap,
          "With --view: stop the execution of compilers and the like, or of all", "leaves|all" },
        { "plain", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &out->view_plain,
          "With --view: no pass-through, as on older kernels", NULL },
        { "no-cache", 0, 0, G_OPTION_ARG_NONE, &out->no_cache,
          "Neither look for a result nor keep one", NULL },
        { "refresh", 0, 0, G_OPTION_ARG_NONE, &out->refresh,
          "Run even if the result is known, and keep the new one", NULL },
        { "cache-failures", 0, 0, G_OPTION_ARG_NONE, &out->cache_failures,
          "Reuse the result of a command that failed, too", NULL },
        { "commit", 0, 0, G_OPTION_ARG_STRING, &out->commit,
          "Write outputs always (default), on success, or never", "always|success|never" },
        { "keep-sandbox", 0, 0, G_OPTION_ARG_NONE, &out->keep,
          "Keep the sandbox's directory and say where", NULL },
        { "check", 0, 0, G_OPTION_ARG_INT, &out->check,
          "Run N times and name the outputs that differ", "N" },
        { "dry-run", 0, 0, G_OPTION_ARG_NONE, &out->dry_run,
          "Say whether it would run; change nothing", NULL },
        { "events", 0, 0, G_OPTION_ARG_FILENAME, &out->events,
          "Append what happens to FILE as JSON lines", "FILE" },
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &out->jobs, "Use N threads for files", "N" },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "run",
        .arguments = "[--] COMMAND [ARGUMENT…]",
        .summary = "Run a command observed, or sealed, or reuse its result.",
        .entries = entries,
        .least = 1,
        .most = -1,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    out->argv = argv;
    return parsed;
}

static bool commit_policy(const char *text, enum commit_policy *out)
{
    static const char *const names[] = { "always", "success", "never" };
    for (size_t i = 0; text != NULL && i < G_N_ELEMENTS(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum commit_policy)i;
            return true;
        }
    *out = COMMIT_ALWAYS;
    return text == NULL;
}

static bool trap_scope(const char *text, enum trap_scope *out)
{
    *out = text == NULL ? TRAP_NOTHING : strcmp(text, "leaves") == 0 ? TRAP_LEAVES : TRAP_ALL;
    return *out != TRAP_ALL || strcmp(text, "all") == 0;
}

static bool observes_system(const struct arguments *arguments)
{
    return g_strcmp0(arguments->system, "observe") == 0;
}

static bool check_arguments(const struct arguments *arguments, enum commit_policy *policy,
                            GError **error)
{
    if (!commit_policy(arguments->commit, policy))
        return fault_set(error, FAULT_USAGE, "--commit=%s: must be always, success or never",
                         arguments->commit);
    if (!(arguments->timeout >= 0) || arguments->timeout > 1e9)
        return fault_set(error, FAULT_USAGE,
                         "--timeout: must be a number of seconds, or 0 for no limit");
    if (arguments->jobs < 0 || arguments->jobs > 4096)
        return fault_set(error, FAULT_USAGE, "-j %d: must be a number of threads, 1 to 4096",
                         arguments->jobs);
    if (arguments->check != NO_CHECK && (arguments->check < 2 || arguments->check > 100000))
        return fault_set(error, FAULT_USAGE, "--check %d: must be 2 to 100000", arguments->check);
    if (arguments->view && (arguments->sealed || arguments->inputs != NULL))
        return fault_set(error, FAULT_USAGE,
                         "%s shows everything; it goes neither with --sealed nor with -i",
                         observes_system(arguments) ? "--system=observe" : "--view");
    if (arguments->system != NULL && strcmp(arguments->system, "bind") != 0 &&
        strcmp(arguments->system, "observe") != 0)
        return fault_set(error, FAULT_USAGE, "--system=%s: must be bind or observe",
                         arguments->system);
    if (!trap_scope(arguments->trap, &(enum trap_scope){ TRAP_NOTHING }))
        return fault_set(error, FAULT_USAGE, "--trap=%s: must be leaves or all", arguments->trap);
    if (arguments->view && arguments->keep)
        return fault_set(error, FAULT_USAGE,
                         "a view lays nothing out that --keep-sandbox could keep");
    if (arguments->check != NO_CHECK && arguments->keep)
        return fault_set(error, FAULT_USAGE, "--check keeps no sandbox");
    if (arguments->caches != NULL && (arguments->sealed || arguments->inputs != NULL))
        return fault_set(error, FAULT_USAGE,
                         "--cache-dir: a sealed command sees its inputs and nothing else");
    if (arguments->argv[0][0] == '\0')
        return fault_set(error, FAULT_USAGE, "the command is an empty word");
    return true;
}

/* --- what the command prints ------------------------------------------------------------------ */

struct output {
    struct event_sink *text;
    bool broken[3]; /* it takes no more */
    int failure;    /* errno if something was lost that somebody may still want, else 0 */
};

static void forward(enum output_stream stream, const void *data, size_t size, void *user)
{
    struct output *output = user;
    int descriptor = stream == OUTPUT_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    if (output->broken[descriptor])
        return;
    ui_clear_line(output->text);
    output->broken[descriptor] = !fd_write_all(descriptor, data, size, "output", NULL);
    /* A reader that left, as head does, and a descriptor that was closed want nothing. */
    if (output->broken[descriptor] && errno != EPIPE && errno != EBADF)
        output->failure = errno;
}

/* --- running ---------------------------------------------------------------------------------- */

static int status_of(const GError *error)
{
    fprintf(stderr, "vial: %s\n", error->message);
    if (interrupt != 0)
        return 128 + interrupt;
    if (g_error_matches(error, FAULT, FAULT_NOT_FOUND))
        return EXIT_NOT_FOUND;
    return g_error_matches(error, FAULT, FAULT_NOT_RUNNABLE) ? EXIT_NOT_RUNNABLE : EXIT_FAILED;
}

/* A run that did not come to its end: whoever reads events is told so, and what vial exits with. */
static int report_failure(const struct run_request *request, struct event_sink *sink,
                          const GError *error)
{
    int status = status_of(error);
    if (!request->dry_run)
        event_emit(sink, EVENT_FINISHED, { "result", EVENT_TEXT, .text = "failed" },
                   { "exit", EVENT_NUMBER, .number = status },
                   { "reason", EVENT_TEXT, .text = error->message });
    return status;
}

/*
 * Observed, unless something was said that only a sealed run can do: -i names all that there is to
 * see, --check and --keep-sandbox want files laid out.
 */
static bool wants_view(const struct arguments *arguments, const char *workspace)
{
    /* A view has a /dev of its own, with nothing of the host's. */
    return arguments->view || (!arguments->sealed && !g_str_has_prefix(workspace, "/dev/") &&
                               arguments->inputs == NULL && arguments->check == NO_CHECK &&
                               !arguments->keep && access("/dev/fuse", R_OK | W_OK) == 0);
}

/* A machine that grants no view seals, with the whole workspace as input (vial doctor says so). */
static bool refuses_view(const GError *error)
{
    return g_error_matches(error, FAULT, FAULT_VIEW) ||
           (g_error_matches(error, FAULT, FAULT_SANDBOX) &&
            sandbox_probe(NULL) != SANDBOX_NAMESPACES);
}

static int run_once(struct session *session, struct run_request *request, bool must_view,
                    struct event_sink *sink)
{
    struct run_outcome outcome;
    g_autoptr(GError) error = NULL;
    bool ok = session_run(session, request, &outcome, &error);
    if (!ok && request->view && !must_view && refuses_view(error)) {
        g_clear_error(&error);
        request->view = false;
        ok = session_run(session, request, &outcome, &error);
    }
    int status = ok ? outcome.exit_code : report_failure(request, sink, error);
    ui_clear_line(sink);
    if (ok && request->dry_run) {
        char text[DIGEST_TEXT_SIZE];
        printf("%s %s\n", outcome.hit ? "would reuse" : "would run",
               digest_print(&outcome.key, text));
        status = finish_output(EXIT_OK);
    }
    if (ok && outcome.kept != NULL)
        fprintf(stderr, "vial: the sandbox is %s; repeat the command there with %s/rerun\n",
                outcome.kept, outcome.kept);
    run_outcome_clear(&outcome);
    return status;
}

static int run_check(struct session *session, const struct run_request *request,
                     struct event_sink *sink, int times)
{
    guint64 differences = 0;
    int status;
    g_autoptr(GError) error = NULL;
    if (!session_check(session, request, (unsigned)times, &differences, &status, &error))
        return report_failure(request, sink, error);
    if (interrupt != 0)
        return 128 + interrupt;
    if (differences == 0)
        fprintf(stderr, "vial: %d runs, no difference\n", times);
    return status == 0 && differences > 0 ? EXIT_NO : status;
}

/* A store that cannot be had costs reuse, not the run. */
static struct store *open_or_do_without(bool dry_run)
{
    g_autofree char *path = store_default_path();
    g_autofree char *notice = NULL;
    g_autoptr(GError) error = NULL;
    struct store_options options = { .read_only = dry_run && access(path, F_OK) == 0 };
    struct store *store = store_open(path, &options, &notice, &error);
    if (notice != NULL)
        fprintf(stderr, "vial: %s\n", notice);
    if (store != NULL || g_error_matches(error, FAULT, FAULT_FORMAT) ||
        g_error_matches(error, FAULT, FAULT_USAGE)) {
        if (store == NULL)
            fprintf(stderr, "vial: %s\n", error->message);
        return store;
    }
    fprintf(stderr, "vial: nothing will be reused or kept: %s\n", error->message);
    return store_new_memory();
}

static int run_with(struct session *session, const struct arguments *arguments,
                    enum commit_policy policy, struct event_sink *text, struct event_sink *sink)
{
    struct output output = { .text = text };
    struct run_request request = {
        .argv = arguments->argv,
        .inputs = arguments->inputs,
        .outputs = arguments->outputs,
        .variables = arguments->variables,
        .caches = arguments->caches,
        .stdin_file = arguments->stdin_file,
        .timeout = (gint64)(arguments->timeout * G_USEC_PER_SEC),
        .network = arguments->network,
        .view = wants_view(arguments, session_workspace(session)),
        .observe_system = observes_system(arguments),
        .canonical = arguments->canonical,
        .view_plain = arguments->view_plain,
        .no_cache = arguments->no_cache,
        .refresh = arguments->refresh,
        .cache_failures = arguments->cache_failures,
        .keep = arguments->keep,
        .dry_run = arguments->dry_run,
        .commit = policy,
        .store_limit = arguments->store_limit,
        .jobs = (unsigned)arguments->jobs,
        .interrupt = &interrupt,
        .interrupt_count = &interrupt_count,
        .output = forward,
        .user = &output,
    };
    trap_scope(arguments->trap, &request.trap);
    int status = arguments->check != NO_CHECK ? run_check(session, &request, sink, arguments->check)
                                              : run_once(session, &request, arguments->view, sink);
    if (output.failure == 0)
        return status;
    fprintf(stderr, "vial: what the command printed did not all arrive: %s\n",
            g_strerror(output.failure));
    return status == 0 ? EXIT_FAILED : status;
}

/* $VIAL_STORE_LIMIT, or a size that a developer's disk can spare. */
static bool store_limit(guint64 *out, GError **error)
{
    const char *text = g_getenv("VIAL_STORE_LIMIT");
    if (options_size(text == NULL || *text == '\0' ? "20G" : text, out, error))
        return true;
    g_prefix_error(error, "VIAL_STORE_LIMIT: ");
    return false;
}

static int run_in_session(const struct arguments *arguments, enum commit_policy policy)
{
    g_autoptr(GError) error = NULL;
    struct text_options options = { .stream = stderr, .terminal = isatty(STDERR_FILENO) };
    const char *no_colour = g_getenv("NO_COLOR"), *terminal = g_getenv("TERM");
    options.terminal = options.terminal && g_strcmp0(terminal, "dumb") != 0;
    options.colour = options.terminal && (no_colour == NULL || *no_colour == '\0');
    g_autofree char *here = g_get_current_dir();
    g_autoptr(store) store = open_or_do_without(arguments->dry_run);
    if (store == NULL)
        return EXIT_FAILED;
    struct event_sink *json =
        arguments->events == NULL ? NULL : ui_json_new(arguments->events, &error);
    if (error != NULL)
        return status_of(error);
    struct event_sink *text = ui_text_new(&options);
    struct event_sink *sink = ui_both_new(text, json);
    g_autoptr(session) session = session_open(here, store, sink, &error);
    if (session != NULL && arguments->events != NULL)
        session_exclude(session, arguments->events);
    int status =
        session == NULL ? status_of(error) : run_with(session, arguments, policy, text, sink);
    g_clear_error(&error);
    if (!ui_free(sink, &error))
        fprintf(stderr, "vial: %s\n", error->message);
    return status;
}

int command_run(int argc, char **argv)
{
    struct arguments arguments = { .check = NO_CHECK };
    enum commit_policy policy;
    g_autoptr(GError) error = NULL;
    enum parsed parsed = parse(argc, argv, &arguments);
    int status = parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_FAILED;
    if (parsed == PARSED) {
        interrupt_catch();
        arguments.view |= observes_system(&arguments);
        if (!check_arguments(&arguments, &policy, &error) ||
            !store_limit(&arguments.store_limit, &error))
            status = status_of(error);
        else if (arguments.directory != NULL && chdir(arguments.directory) < 0)
            fprintf(stderr, "vial: -C %s: %s\n", arguments.directory, g_strerror(errno));
        else
            status = run_in_session(&arguments, policy);
    }
    arguments_clear(&arguments);
    return status;
}
