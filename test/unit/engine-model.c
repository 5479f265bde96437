// SPDX-License-Identifier: Apache-2.0
/*
 * The engine against naive recomputation: random graphs whose dependencies depend on values, random
 * edits. After each edit every value is as computed from nothing, and what ran is what had to: it
 * is reached from the query, and has no value yet or once saw another value of something than that
 * has now.
 *
 * There is one rule of the graph for all nodes of the model: `node` N gets other nodes, and cells,
 * which are facts.
 */
#include "engine-support.h"

#include "engine/workers.h"

#define GRAPH "rule node Out N; Out N; Cell K\nrule cell Cell K\nquery Out N"

enum {
    NODES_MAX = 60,
    CELLS_MAX = 20,
    GROUPS = 3,
    FAN = 4,
    CELL = 1000, /* ids from here on are cells */
};

struct group {
    int only_if; /* of the value so far, by FAN; -1: always */
    int count;
    int ids[FAN]; /* of nodes with a higher number, or of cells */
};

struct node {
    int modulus;
    struct group groups[GROUPS];
};

struct seen {
    GArray *ids, *values; /* gint, gint64; what it last computed with; NULL: never */
};

struct model {
    int nodes, cells;
    struct node node[NODES_MAX];
    gint64 cell[CELLS_MAX];
    gint64 value[NODES_MAX]; /* now, from nothing */
    bool reached[NODES_MAX], cell_reached[CELLS_MAX], known[NODES_MAX];
    struct seen seen[NODES_MAX];
    gint64 cell_seen[CELLS_MAX]; /* -1: never */
    int ran[NODES_MAX], cell_ran[CELLS_MAX];
    struct world *world;
    struct workers *pool; /* cells answer from there; or NULL */
    guint64 slack;        /* of the memo */
    /*
     * Several queries, and a small memo: what none of them reached last is forgotten, and runs
     * again. A root still knows what it came to with other facts, and answers without running.
     */
    bool loose;
};

static void model_random(struct model *model, GRand *rand)
{
    model->nodes = g_rand_int_range(rand, 2, NODES_MAX);
    model->cells = g_rand_int_range(rand, 1, CELLS_MAX);
    for (int i = 0; i < model->nodes; i++) {
        struct node *node = &model->node[i];
        node->modulus = g_rand_int_range(rand, 1, 5);
        for (int g = 0; g < GROUPS; g++) {
            struct group *group = &node->groups[g];
            group->only_if = g == 0 ? -1 : g_rand_int_range(rand, -1, FAN);
            group->count = g_rand_int_range(rand, 0, FAN);
            for (int k = 0; k < group->count; k++)
                group->ids[k] = i + 1 < model->nodes && g_rand_int_range(rand, 0, 3) > 0
                                    ? g_rand_int_range(rand, i + 1, model->nodes)
                                    : CELL + g_rand_int_range(rand, 0, model->cells);
        }
    }
    for (int c = 0; c < model->cells; c++)
        model->cell_seen[c] = -1;
}

static gint64 mix(gint64 sum, gint64 value)
{
    return (sum * 31 + value + 7) % 1000003;
}

static bool takes(const struct group *group, gint64 sum)
{
    return group->count > 0 && (group->only_if < 0 || sum % FAN == group->only_if);
}

/* --- naive ------------------------------------------------------------------------------------ */

static gint64 naive(struct model *model, int id)
{
    if (id >= CELL) {
        model->cell_reached[id - CELL] = true;
        return model->cell[id - CELL];
    }
    model->reached[id] = true;
    if (model->known[id])
        return model->value[id];
    gint64 sum = id;
    for (int g = 0; g < GROUPS; g++) {
        const struct group *group = &model->node[id].groups[g];
        bool taken = takes(group, sum);
        for (int k = 0; taken && k < group->count; k++)
            sum = mix(sum, naive(model, group->ids[k]));
    }
    model->known[id] = true;
    return model->value[id] = sum % model->node[id].modulus;
}

/* What it was last computed with differs from what that is now. */
static bool must_run(struct model *model, int id)
{
    const struct seen *seen = &model->seen[id];
    if (seen->ids == NULL)
        return true;
    for (guint i = 0; i < seen->ids->len; i++) {
        int other = g_array_index(seen->ids, int, i);
        gint64 was = g_array_index(seen->values, gint64, i);
        bool now_known = other >= CELL || model->known[other];
        /* What is not reached any more was asked for because of something else that differs. */
        gint64 now = other >= CELL ? model->cell[other - CELL] : model->value[other];
        if (now_known && now != was)
            return true;
    }
    return false;
}

/* --- rules ------------------------------------------------------------------------------------ */

static void forget(struct seen *seen)
{
    g_clear_pointer(&seen->ids, g_array_unref);
    g_clear_pointer(&seen->values, g_array_unref);
}

/* Where the task is: the group it asked for last is `step - 1` among those it takes. */
static void body_node(struct support_task *task, struct engine_step *step)
{
    struct model *model = support_rule_of(task)->user;
    int id = (int)support_of(task->params[0]);
    struct seen *seen = &model->seen[id];
    if (task->step == 0) {
        model->ran[id]++;
        forget(seen);
        seen->ids = g_array_new(FALSE, FALSE, sizeof(int));
        seen->values = g_array_new(FALSE, FALSE, sizeof(gint64));
    }
    for (gsize i = 0; i < task->count; i++) {
        gint64 value = support_of(task->results[i]);
        g_array_append_val(seen->values, value);
    }
    gint64 sum = id;
    guint at = 0;
    for (int g = 0; g < GROUPS; g++) {
        const struct group *group = &model->node[id].groups[g];
        if (!takes(group, sum))
            continue;
        if (at == seen->values->len) {
            for (int k = 0; k < group->count; k++) {
                bool cell = group->ids[k] >= CELL;
                g_array_append_val(seen->ids, group->ids[k]);
                support_want(
                    task, step, cell ? "Cell" : "Out",
                    support_number(cell ? "K" : "N", cell ? group->ids[k] - CELL : group->ids[k]),
                    NULL);
            }
            return;
        }
        for (int k = 0; k < group->count; k++)
            sum = mix(sum, g_array_index(seen->values, gint64, at++));
    }
    support_done(step, support_number("Out", sum % model->node[id].modulus));
}

static void answer_cell(struct support_task *task, struct engine_step *step)
{
    struct model *model = support_rule_of(task)->user;
    gint64 id = support_of(task->params[0]);
    g_autofree char *subject = g_strdup_printf("c%d", (int)id);
    const struct fact fact = { FACT_FILE, subject };
    const struct fact_answer answer = { .what = (guint32)model->cell[id] + 1 };
    engine_fact(task->call, &fact, &answer);
    support_done(step, support_number("Cell", model->cell[id]));
}

static void answer_cell_later(gpointer data, gpointer user)
{
    struct support_task *task = data;
    struct engine_step step = { 0 };
    answer_cell(task, &step);
    engine_complete(task->call, &step);
}

static void body_cell(struct support_task *task, struct engine_step *step)
{
    struct model *model = support_rule_of(task)->user;
    gint64 id = support_of(task->params[0]);
    model->cell_ran[id]++;
    model->cell_seen[id] = model->cell[id];
    if (model->pool == NULL) {
        answer_cell(task, step);
        return;
    }
    step->outcome = ENGINE_LATER;
    workers_push(model->pool, task);
}

/* --- the comparison --------------------------------------------------------------------------- */

static void edit(struct model *model, GRand *rand)
{
    for (int count = g_rand_int_range(rand, 0, 4); count >= 0; count--) {
        int cell = g_rand_int_range(rand, 0, model->cells);
        model->cell[cell] = g_rand_int_range(rand, 0, 3);
    }
    for (int c = 0; c < model->cells; c++) {
        g_autofree char *subject = g_strdup_printf("c%d", c);
        const struct fact_answer answer = { .what = (guint32)model->cell[c] + 1 };
        world_memory_put(model->world, FACT_FILE, subject, &answer);
    }
}

/* What has to run, by definition, before the engine is asked. */
static void expect(struct model *model, int root, bool *nodes, bool *cells)
{
    memset(model->reached, 0, sizeof model->reached);
    memset(model->cell_reached, 0, sizeof model->cell_reached);
    memset(model->known, 0, sizeof model->known);
    naive(model, root);
    for (int i = 0; i < model->nodes; i++)
        nodes[i] = model->reached[i] && must_run(model, i);
    for (int c = 0; c < model->cells; c++)
        cells[c] = model->cell_reached[c] && model->cell_seen[c] != model->cell[c];
    memset(model->ran, 0, sizeof model->ran);
    memset(model->cell_ran, 0, sizeof model->cell_ran);
}

static void check_runs(const struct model *model, int ran, bool must, bool reached)
{
    g_assert_cmpint(ran, >=, model->loose ? 0 : must);
    g_assert_cmpint(ran, <=, model->loose ? reached : must);
}

static void compare(struct model *model, struct support_engine *opened, int root)
{
    bool nodes[NODES_MAX], cells[CELLS_MAX];
    expect(model, root, nodes, cells);
    g_autoptr(value) param = support_number("N", root);
    struct engine_request request = { "Out", &param, 1 };
    struct engine_result result;
    g_assert_true(engine_run(opened->engine, &request, 1, &result, NULL));
    g_assert_cmpstr(result.error, ==, NULL);
    g_assert_cmpint(support_of(result.value), ==, model->value[root]);
    for (int i = 0; i < model->nodes; i++)
        check_runs(model, model->ran[i], nodes[i], model->reached[i]);
    for (int c = 0; c < model->cells; c++)
        check_runs(model, model->cell_ran[c], cells[c], model->cell_reached[c]);
    engine_results_clear(&result, 1);
}

static void open_model(struct model *model, struct support_rule *rules,
                       struct support_engine *opened, struct store *store)
{
    rules[0] = (struct support_rule){ "node", body_node, model };
    rules[1] = (struct support_rule){ "cell", body_cell, model };
    rules[2] = (struct support_rule){ 0 };
    support_open_in(opened, GRAPH, rules, model->world, store, model->slack);
}

/* With `store`, every other edit meets another engine, which knows only what is there. */
static void play(guint32 seed, struct workers *pool, struct store *store, bool loose)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    struct support_rule rules[3];
    struct model model = {
        .pool = pool, .world = world_memory_new(), .slack = loose, .loose = loose
    };
    struct support_engine opened;
    model_random(&model, rand);
    int roots = store != NULL && !loose ? 1 : MIN(model.nodes, 4);
    open_model(&model, rules, &opened, store);
    for (int round = 0; round < 20; round++) {
        int root = g_rand_int_range(rand, 0, roots);
        edit(&model, rand);
        compare(&model, &opened, root);
        if (store == NULL || g_rand_int_range(rand, 0, 2) == 0)
            continue;
        support_close(&opened);
        open_model(&model, rules, &opened, store);
        if (g_rand_int_range(rand, 0, 2) == 0) { /* nothing has changed: not even asked for */
            compare(&model, &opened, root);
            for (int i = 0; i < model.nodes; i++)
                g_assert_cmpint(model.ran[i], ==, 0);
        }
    }
    support_close(&opened);
    for (int i = 0; i < model.nodes; i++)
        forget(&model.seen[i]);
    world_free(model.world);
}

static guint rounds(guint usual)
{
    const char *text = g_getenv("VIAL_MODEL_ROUNDS");
    return text == NULL ? usual : (guint)g_ascii_strtoull(text, NULL, 10);
}

static void test_in_one_thread(void)
{
    for (guint seed = 0; seed < rounds(2000); seed++)
        play(seed, NULL, NULL, false);
}

static void test_with_threads(void)
{
    struct workers *pool = workers_new(answer_cell_later, NULL, 4);
    for (guint seed = 0; seed < rounds(200); seed++)
        play(seed, pool, NULL, false);
    workers_free(pool);
}

static void test_with_a_memo(void)
{
    for (guint seed = 0; seed < rounds(300); seed++) {
        g_autoptr(store) store = store_new_memory();
        play(seed, NULL, store, false);
    }
}

static void test_with_a_small_memo(void)
{
    for (guint seed = 0; seed < rounds(300); seed++) {
        g_autoptr(store) store = store_new_memory();
        play(seed, NULL, store, true);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/in one thread", test_in_one_thread);
    g_test_add_func("/model/with threads", test_with_threads);
    g_test_add_func("/model/with a memo", test_with_a_memo);
    g_test_add_func("/model/with a small memo", test_with_a_small_memo);
    return g_test_run();
}
