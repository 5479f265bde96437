// SPDX-License-Identifier: Apache-2.0
/*
 * What it costs a new process to find out that nothing has changed, or one file, with a memo of
 * many instances.
 *
 * usage: bench-engine DIRECTORY FILES     DIRECTORY/files is made if it is not there
 *
 * Each file is read by an instance of its own; a chain of eight goes from there; a tree with 16
 * children at each node joins all chains. So there are a little more than nine instances a file.
 * Prints: instances, rules that ran, CPU and elapsed seconds of the process, its largest resident
 * size in MB.
 */
#include "engine/engine.h"
#include "engine/world-host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    CHAIN = 8,
    FAN = 16,
    PER_DIRECTORY = 50,
};

struct bench {
    gint64 files, joints; /* inner nodes of the tree */
    struct world *world;
    struct value_type *out, *file, *number, *key;
};

struct task {
    struct bench *bench;
    struct engine_call *call;
    gint64 number;
    bool asked;
    struct value *inputs[FAN];
    struct engine_get gets[FAN];
};

static struct value *make(struct value_type *type, gint64 number)
{
    g_autoptr(value) field = value_integer(number);
    return value_record(type, &field, NULL);
}

static gint64 number_of(const struct value *record)
{
    return value_number(value_at(record, 0));
}

static void *start(const struct engine_rule *rule, struct engine_call *call,
                   struct value *const *params)
{
    struct task *task = g_new0(struct task, 1);
    task->bench = rule->data;
    task->call = call;
    task->number = number_of(params[0]);
    return task;
}

static void release(void *data)
{
    struct task *task = data;
    for (int i = 0; i < FAN; i++)
        value_unref(task->inputs[i]);
    g_free(task);
}

static void want(struct task *task, struct engine_step *step, gint64 number)
{
    bool file = number < 0;
    gsize at = step->get_count++;
    task->inputs[at] =
        make(file ? task->bench->key : task->bench->number, file ? -1 - number : number);
    task->gets[at] = (struct engine_get){ file ? "File" : "Out", &task->inputs[at], 1 };
    step->outcome = ENGINE_WANTS;
    step->gets = task->gets;
}

/* 0 to joints - 1 are the tree, as a heap; then come the chains, one stage after the other. */
static void ask(struct task *task, struct engine_step *step)
{
    const struct bench *bench = task->bench;
    gint64 number = task->number;
    if (number >= bench->joints + bench->files) {
        want(task, step, number - bench->files);
        return;
    }
    if (number >= bench->joints) {
        want(task, step, -1 - (number - bench->joints));
        return;
    }
    for (gint64 child = FAN * number + 1; child <= FAN * (number + 1); child++) {
        gint64 leaf = child - bench->joints;
        if (leaf < 0)
            want(task, step, child);
        else if (leaf < bench->files)
            want(task, step, bench->joints + (CHAIN - 1) * bench->files + leaf);
    }
}

static void resume_step(void *data, struct value *const *results, gsize count,
                        struct engine_step *step)
{
    struct task *task = data;
    gint64 sum = task->number;
    if (!task->asked) {
        task->asked = true;
        ask(task, step);
        return;
    }
    for (gsize i = 0; i < count; i++)
        sum = (sum * 31 + number_of(results[i])) & G_MAXINT32;
    step->outcome = ENGINE_DONE;
    step->value = make(task->bench->out, sum);
}

static char *file_name(gint64 number)
{
    return g_strdup_printf("d%06d/f%06d.c", (int)(number / PER_DIRECTORY), (int)number);
}

static void resume_file(void *data, struct value *const *results, gsize count,
                        struct engine_step *step)
{
    struct task *task = data;
    g_autofree char *name = file_name(task->number);
    const struct fact fact = { FACT_FILE, name };
    struct fact_answer answer;
    gint64 content;
    if (!world_ask(task->bench->world, FACT_FILE, name, &answer, NULL))
        g_error("cannot read %s", name);
    memcpy(&content, answer.digest.hash, sizeof content);
    engine_fact(task->call, &fact, &answer);
    step->outcome = ENGINE_DONE;
    step->value = make(task->bench->file, content & G_MAXINT32);
}

static void make_files(const char *root, gint64 files)
{
    if (g_file_test(root, G_FILE_TEST_EXISTS))
        return;
    for (gint64 i = 0; i < files; i++) {
        g_autofree char *name = file_name(i);
        g_autofree char *path = g_build_filename(root, name, NULL);
        g_autofree char *directory = g_path_get_dirname(path);
        g_autofree char *content = g_strdup_printf("int f%d;\n", (int)i);
        if (i % PER_DIRECTORY == 0)
            g_mkdir_with_parents(directory, 0777);
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0)
            g_error("cannot write %s", path);
    }
}

static struct graph *make_graph(void)
{
    static const char *const number[] = { "N", NULL }, *const key[] = { "K", NULL };
    static const struct graph_get gets[] = { { "Out", number }, { "File", key } };
    static const struct graph_rule rules[] = {
        { .name = "step", .output = "Out", .params = number, .gets = gets, .get_count = 2 },
        { .name = "file", .output = "File", .params = key },
    };
    static const struct graph_query query = { .output = "Out", .params = number };
    struct graph_input *input = graph_input_new();
    graph_input_rule(input, &rules[0]);
    graph_input_rule(input, &rules[1]);
    graph_input_query(input, &query);
    struct graph *graph = graph_solve(input);
    graph_input_free(input);
    return graph;
}

static void report(struct bench *bench, struct engine *engine, gint64 began)
{
    struct engine_statistics statistics;
    struct rusage usage;
    engine_statistics(engine, &statistics);
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %.3f %.3f %.0f\n",
           bench->joints + (CHAIN + 1) * bench->files, statistics.ran, cpu,
           (double)(g_get_monotonic_time() - began) / 1e6, (double)usage.ru_maxrss / 1024);
}

static struct value_type *type(const char *name)
{
    static const char *const fields[] = { "v", NULL };
    return value_type_new(name, fields, NULL);
}

static void run(struct bench *bench, const char *root, struct store *store, gint64 began)
{
    static const struct engine_operations step = { start, resume_step, NULL, release };
    static const struct engine_operations file = { start, resume_file, NULL, release };
    const struct engine_rule rules[] = { { "step", &step, bench, { { 0 }, 0 }, false },
                                         { "file", &file, bench, { { 0 }, 0 }, false } };
    g_autoptr(stat_cache) stats = stat_cache_new(store);
    const struct host_world_options world = { root, store, stats };
    g_autoptr(GError) error = NULL;
    bench->world = host_world_new(&world, &error);
    g_assert_no_error(error);
    g_autoptr(graph) graph = make_graph();
    const struct engine_options options = {
        .graph = graph, .rules = rules, .rule_count = 2, .world = bench->world, .store = store
    };
    struct engine *engine = engine_new(&options, &error);
    g_autoptr(value) top = make(bench->number, 0);
    struct engine_request request = { "Out", &top, 1 };
    struct engine_result result;
    g_assert_no_error(error);
    if (!engine_run(engine, &request, 1, &result, &error) || result.error != NULL)
        g_error("%s", result.error != NULL ? result.error : error->message);
    report(bench, engine, began);
    engine_results_clear(&result, 1);
    engine_free(engine);
    world_free(bench->world);
}

int main(int argc, char **argv)
{
    gint64 began = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY FILES\n", argv[0]);
        return 2;
    }
    struct bench bench = { .files = g_ascii_strtoll(argv[2], NULL, 10) };
    bench.joints = MAX((bench.files + FAN - 3) / (FAN - 1), 1);
    bench.out = type("Out");
    bench.file = type("File");
    bench.number = type("N");
    bench.key = type("K");
    g_autofree char *root = g_build_filename(argv[1], "files", NULL);
    g_autofree char *place = g_build_filename(argv[1], "store", NULL);
    make_files(root, bench.files);
    g_autoptr(store) store = store_open(place, NULL, NULL, &error);
    g_assert_no_error(error);
    run(&bench, root, store, began);
    value_type_unref(bench.out);
    value_type_unref(bench.file);
    value_type_unref(bench.number);
    value_type_unref(bench.key);
    return 0;
}
