// SPDX-License-Identifier: Apache-2.0
/* Intrinsics on processes, programs and the environment. */
#include "base/fault.h"
#include "base/path.h"
#include "cache/perform.h"
#include "engine/intrinsics-internal.h"

#include <string.h>

/* --- Process ---------------------------------------------------------------------------------- */

/* The environment is what `env` says and nothing else, but for a PATH and a few that all expect. */
static char **make_environment(const struct value *param, GError **error)
{
    g_auto(GStrv) given = take_texts(param, "env", error);
    if (given == NULL)
        return NULL;
    g_auto(GStrv) made = action_default_environment();
    for (char **assignment = given; *assignment != NULL; assignment++) {
        const char *sign = strchr(*assignment, '=');
        if (sign == NULL || sign == *assignment) {
            usage(error, param, "env", "a list of \"NAME=VALUE\"");
            return NULL;
        }
        g_autofree char *name = g_strndup(*assignment, (gsize)(sign - *assignment));
        made = g_environ_setenv(made, name, sign + 1, TRUE);
    }
    qsort(made, g_strv_length(made), sizeof *made, action_compare_assignments);
    return g_steal_pointer(&made);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Nothing is output unless it is named. */
static bool take_outputs(const struct value *param, struct action *action, GError **error)
{
    action->outputs = take_texts(param, "outputs", error);
    if (action->outputs == NULL)
        return false;
    for (char **output = action->outputs; *output != NULL; output++)
        if (**output != '/' && !glob_is_pattern(*output)) {
            char *anchored = g_strconcat("/", *output, NULL);
            g_free(*output);
            *output = anchored;
        }
    qsort(action->outputs, g_strv_length(action->outputs), sizeof *action->outputs, compare_texts);
    return true;
}

static struct action *make_action(struct intrinsic_task *task, const struct value *param,
                                  GError **error)
{
    g_autoptr(action) action = action_new();
    const struct value *directory = value_field(param, "directory");
    gint64 seconds;
    g_strfreev(g_steal_pointer(&action->argv));
    g_strfreev(g_steal_pointer(&action->environment));
    g_clear_pointer(&action->inputs, tree_unref);
    action->inputs = take_tree(task, value_field(param, "input"), error);
    if (action->inputs == NULL || (action->argv = take_texts(param, "argv", error)) == NULL ||
        (action->environment = make_environment(param, error)) == NULL ||
        !take_outputs(param, action, error) || !take_integer(param, "timeout", &seconds, error))
        return NULL;
    if (action->argv[0] == NULL) {
        usage(error, param, "argv", "a list of at least one string");
        return NULL;
    }
    if (directory != NULL && value_kind(directory) != VALUE_NIL) {
        const char *text = take_text(param, "directory", error);
        if (text == NULL)
            return NULL;
        g_free(action->directory);
        action->directory = g_strdup(text);
    }
    action->timeout = MIN(seconds, G_MAXINT64 / G_USEC_PER_SEC) * G_USEC_PER_SEC;
    return g_steal_pointer(&action);
}

/* The machine as this command sees it. */
static bool note_platform(struct intrinsic_task *task, const struct action *action, GError **error)
{
    struct fact_answer answer;
    const char *path = action_variable(action, "PATH");
    g_autofree char *subject =
        g_strdup_printf("%s\n%s\n%d", action->argv[0], path == NULL ? "" : path, action->network);
    return note_fact(task, FACT_PLATFORM, subject, &answer, error);
}

static struct value *read_stream(struct intrinsic_task *task, const struct digest *digest,
                                 GError **error)
{
    g_autoptr(GBytes) bytes = store_get(task->intrinsics->store, digest, error);
    gsize size;
    const void *data = bytes == NULL ? NULL : g_bytes_get_data(bytes, &size);
    return bytes == NULL ? NULL : value_string(data, size);
}

static struct value *make_result(struct intrinsic_task *task, const struct result *result,
                                 GError **error)
{
    g_autoptr(value) out = read_stream(task, &result->stdout_blob, error);
    g_autoptr(value) err = out == NULL ? NULL : read_stream(task, &result->stderr_blob, error);
    if (err == NULL)
        return NULL;
    note_stored(task, FACT_TREE, &result->outputs);
    struct value *fields[] = { value_integer(result->exit_code), value_ref(out), value_ref(err),
                               make_digest(task->intrinsics, &result->outputs) };
    return make_record(task->intrinsics, "ProcessResult", fields);
}

struct value *do_process(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_autoptr(action) action = make_action(task, param, error);
    struct performed performed = { 0 };
    if (action == NULL || !note_platform(task, action, error))
        return NULL;
    const struct perform_request request = {
        .store = task->intrinsics->store,
        .stats = task->intrinsics->stats,
        .action = action,
        .jobs = 1, /* other processes run beside it */
        .interrupt = &task->interrupt,
        .interrupt_count = &task->interrupt_count,
    };
    if (!cache_perform(&request, &performed, error))
        return NULL;
    if (performed.refusal != NULL)
        engine_unkept(task->call);
    struct value *made = NULL;
    if (performed.result->timed_out)
        fault_set(error, FAULT_CANCELLED, "%s took longer than it may", action->argv[0]);
    else
        made = make_result(task, performed.result, error);
    performed_clear(&performed);
    return made;
}

/* --- FindBinary ------------------------------------------------------------------------------- */

/* Where the link `path` leads, as an absolute path; `rest` is what follows it. Caller frees. */
static char *follow_link(const char *path, const char *rest)
{
    g_autofree char *target = g_file_read_link(path, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *joined = target == NULL ? NULL
                              : g_path_is_absolute(target)
                                  ? g_strconcat(target, rest, NULL)
                                  : g_strconcat(parent, "/", target, rest, NULL);
    return joined == NULL ? NULL : path_normalize(joined);
}

/*
 * What `file` is, links followed. Each of them is a fact as well, those of directories on the way
 * included. Links in a circle are something other than a program.
 */
static bool note_program(struct intrinsic_task *task, const char *file, struct fact_answer *answer,
                         GError **error)
{
    g_autofree char *path = path_normalize(file);
    for (int links = 0; links < 40; links++) {
        char *slash = path;
        bool led_on = false;
        while (!led_on && slash != NULL) {
            slash = strchr(slash + 1, '/');
            g_autofree char *prefix =
                slash == NULL ? g_strdup(path) : g_strndup(path, (gsize)(slash - path));
            if (slash != NULL && !g_file_test(prefix, G_FILE_TEST_IS_SYMLINK))
                continue;
            if (!note_fact(task, FACT_FILE, prefix, answer, error))
                return false;
            if (answer->what != WORLD_LINK)
                continue;
            char *next = follow_link(prefix, slash == NULL ? "" : slash);
            if (next == NULL) /* it has changed meanwhile */
                return true;
            g_free(path);
            path = next;
            led_on = true;
        }
        if (!led_on)
            return true;
    }
    answer->what = WORLD_OTHER;
    return true;
}

/* Each place is a fact: a program that appears earlier on the path is another answer. */
struct value *do_find_binary(struct intrinsic_task *task, struct value *param, GError **error)
{
    static char *usual[] = { "/usr/bin", "/bin", NULL };
    const char *name = take_text(param, "name", error);
    g_auto(GStrv) path = name == NULL ? NULL : take_texts(param, "path", error);
    if (path == NULL)
        return NULL;
    if (*name == '\0' || strchr(name, '/') != NULL) {
        usage(error, param, "name", "the name of a program, without directories");
        return NULL;
    }
    char **places = *path == NULL ? usual : path;
    for (char **place = places; *place != NULL; place++) {
        struct fact_answer answer;
        g_autofree char *file = g_build_filename(*place, name, NULL);
        if (!g_path_is_absolute(*place)) {
            usage(error, param, "path", "a list of absolute directories");
            return NULL;
        }
        if (!note_program(task, file, &answer, error))
            return NULL;
        if (answer.what != WORLD_EXECUTABLE)
            continue;
        struct value *fields[] = { value_text(file),
                                   make_digest(task->intrinsics, &answer.digest) };
        return make_record(task->intrinsics, "Binary", fields);
    }
    g_autofree char *text = g_strjoinv(":", places);
    fault_set(error, FAULT_NOT_FOUND, "there is no program %s in %s", name, text);
    return NULL;
}

/* --- EnvironmentVars -------------------------------------------------------------------------- */

struct value *do_environment(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_auto(GStrv) names = take_texts(param, "names", error);
    g_autoptr(GPtrArray) set = g_ptr_array_new_with_free_func(g_free);
    if (names == NULL)
        return NULL;
    qsort(names, g_strv_length(names), sizeof *names, compare_texts);
    for (char **name = names; *name != NULL; name++) {
        struct fact_answer answer;
        if (!note_fact(task, FACT_ENVIRONMENT, *name, &answer, error))
            return NULL;
        if (answer.what == WORLD_THERE)
            g_ptr_array_add(set, g_strdup_printf("%s=%s", *name, g_getenv(*name)));
    }
    struct value *field = make_texts(set);
    return make_record(task->intrinsics, "EnvironmentVars", &field);
}
