// SPDX-License-Identifier: Apache-2.0
/* Intrinsics as rules of the engine: a task each, done by a pool of threads. */
#include "engine/intrinsics-internal.h"

#include "base/fault.h"
#include "engine/workers.h"

#include <signal.h>
#include <string.h>

static const struct intrinsic_record records[] = {
    { "Digest", { "hash" } },
    { "FileContent", { "path", "content", "executable" } },
    { "Process", { "argv", "env", "input", "outputs", "directory", "timeout", "description" } },
    { "ProcessResult", { "status", "stdout", "stderr", "output" } },
    { "PathGlobs", { "globs" } },
    { "Snapshot", { "digest", "files", "directories" } },
    { "CreateDigest", { "files" } },
    { "MergeDigests", { "digests" } },
    { "DigestSubset", { "digest", "globs" } },
    { "AddPrefix", { "digest", "prefix" } },
    { "RemovePrefix", { "digest", "prefix" } },
    { "DigestContents", { "files" } },
    { "EnvironmentRequest", { "names" } },
    { "EnvironmentVars", { "values" } },
    { "FindBinary", { "name", "path" } },
    { "Binary", { "path", "digest" } },
};

/* No declared rule has a name that begins with "vial.". */
static const struct intrinsic all[] = {
    { { "vial.process", "ProcessResult", "Process" }, do_process },
    { { "vial.path_globs", "Snapshot", "PathGlobs" }, do_path_globs },
    { { "vial.create_digest", "Digest", "CreateDigest" }, do_create_digest },
    { { "vial.merge_digests", "Digest", "MergeDigests" }, do_merge_digests },
    { { "vial.digest_subset", "Digest", "DigestSubset" }, do_digest_subset },
    { { "vial.add_prefix", "Digest", "AddPrefix" }, do_add_prefix },
    { { "vial.remove_prefix", "Digest", "RemovePrefix" }, do_remove_prefix },
    { { "vial.digest_contents", "DigestContents", "Digest" }, do_digest_contents },
    { { "vial.environment_vars", "EnvironmentVars", "EnvironmentRequest" }, do_environment },
    { { "vial.find_binary", "Binary", "FindBinary" }, do_find_binary },
};

/* Rises when an intrinsic gives something else for the same param and facts. */
#define VERSION "intrinsics 1"

const struct intrinsic_record *intrinsic_records(gsize *count)
{
    *count = G_N_ELEMENTS(records);
    return records;
}

const struct intrinsic_rule *intrinsic_rules(gsize *count)
{
    static struct intrinsic_rule rules[G_N_ELEMENTS(all)];
    static gsize made = 0;
    if (g_once_init_enter(&made)) {
        for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
            rules[i] = all[i].rule;
        g_once_init_leave(&made, 1);
    }
    *count = G_N_ELEMENTS(all);
    return rules;
}

/* --- facts ------------------------------------------------------------------------------------ */

bool note_fact(struct intrinsic_task *task, enum fact_kind kind, const char *subject,
               struct fact_answer *out, GError **error)
{
    const struct fact fact = { kind, subject };
    if (!world_ask(task->intrinsics->world, kind, subject, out, error))
        return false;
    engine_fact(task->call, &fact, out);
    return true;
}

void note_stored(struct intrinsic_task *task, enum fact_kind kind, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    const struct fact fact = { kind, digest_print(digest, text) };
    const struct fact_answer answer = { .what = WORLD_THERE };
    engine_fact(task->call, &fact, &answer);
}

struct value *give_tree(struct intrinsic_task *task, const struct tree *tree, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(task->intrinsics->store);
    if (!store_batch_put_tree(batch, tree, error) || !store_batch_commit(batch, error))
        return NULL;
    note_stored(task, FACT_TREE, tree_digest(tree));
    return make_digest(task->intrinsics, tree_digest(tree));
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void *start(const struct engine_rule *rule, struct engine_call *call,
                   struct value *const *params)
{
    struct intrinsic_task *task = g_new0(struct intrinsic_task, 1);
    const struct bound *bound = rule->data;
    task->intrinsics = bound->intrinsics;
    task->intrinsic = bound->intrinsic;
    task->call = call;
    task->param = params[0];
    return task;
}

static void work(gpointer data, gpointer user)
{
    struct intrinsic_task *task = data;
    struct engine_step step = { .outcome = ENGINE_FAILED };
    g_autoptr(GError) error = NULL;
    if (!engine_is_cancelled(task->call))
        step.value = task->intrinsic->body(task, task->param, &error);
    if (step.value != NULL)
        step.outcome = ENGINE_DONE;
    else
        step.error = g_strdup(error == NULL ? "cancelled" : error->message);
    engine_complete(task->call, &step);
}

static void resume(void *data, struct value *const *results, gsize count, struct engine_step *step)
{
    struct intrinsic_task *task = data;
    step->outcome = ENGINE_LATER;
    workers_push(task->intrinsics->workers, task);
}

/* As when the user presses Ctrl-C twice: the command is killed. */
static void cancel(void *data)
{
    struct intrinsic_task *task = data;
    task->interrupt = SIGKILL;
    task->interrupt_count = 2;
}

/* --- life ------------------------------------------------------------------------------------- */

static const struct engine_operations operations = { start, resume, cancel, g_free };

static void make_rules(struct intrinsics *made)
{
    struct digest code;
    digest_of(VERSION, strlen(VERSION), &code);
    made->rules = g_new0(struct engine_rule, G_N_ELEMENTS(all));
    made->bound = g_new0(struct bound, G_N_ELEMENTS(all));
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        made->bound[i] = (struct bound){ made, &all[i] };
        made->rules[i] = (struct engine_rule){
            .name = all[i].rule.name,
            .operations = &operations,
            .data = &made->bound[i],
            .code = code,
        };
    }
    made->types = g_new0(struct value_type *, G_N_ELEMENTS(records));
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        made->types[i] = value_type_new(records[i].name, records[i].fields, NULL);
        g_assert(made->types[i] != NULL);
    }
}

struct intrinsics *intrinsics_new(const struct intrinsics_options *options, GError **error)
{
    g_autoptr(intrinsics) made = g_new0(struct intrinsics, 1);
    made->store = options->store;
    made->stats = stat_cache_new(options->store);
    make_rules(made);
    const struct host_world_options world = { options->workspace, options->store, made->stats };
    made->world = host_world_new(&world, error);
    if (made->world == NULL)
        return NULL;
    made->workers =
        workers_new(work, NULL, options->jobs > 0 ? options->jobs : g_get_num_processors());
    return g_steal_pointer(&made);
}

void intrinsics_free(struct intrinsics *made)
{
    if (made == NULL)
        return;
    workers_free(made->workers);
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++)
        value_type_unref(made->types[i]);
    g_free(made->types);
    g_free(made->rules);
    g_free(made->bound);
    world_free(made->world);
    stat_cache_free(made->stats);
    g_free(made);
}

const struct engine_rule *intrinsics_rules(const struct intrinsics *made, gsize *count)
{
    *count = G_N_ELEMENTS(all);
    return made->rules;
}

struct world *intrinsics_world(const struct intrinsics *made)
{
    return made->world;
}
