// SPDX-License-Identifier: Apache-2.0
/* What an engine does, one behaviour a test. */
#include "engine-support.h"

#include "engine/workers.h"

static struct fact_answer answer_of(guint32 what)
{
    return (struct fact_answer){ .what = what };
}

/* Ask for `output` of one param; takes it. The value's number, or -1 and the error in *why. */
static gint64 ask(struct support_engine *opened, const char *output, struct value *param,
                  char **why)
{
    g_autoptr(GError) error = NULL;
    struct engine_request request = { output, &param, param == NULL ? 0 : 1 };
    struct engine_result result;
    bool ok = engine_run(opened->engine, &request, 1, &result, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    gint64 number = result.value == NULL ? -1 : support_of(result.value);
    g_assert_true((result.value == NULL) == (result.error != NULL));
    if (why != NULL)
        *why = g_steal_pointer(&result.error);
    engine_results_clear(&result, 1);
    value_unref(param);
    return number;
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void body_number(struct support_task *task, struct engine_step *step)
{
    support_done(step, support_number("B", support_of(task->params[0]) * 2));
}

/* fib: F <- N; get F <- N. */
static void body_fib(struct support_task *task, struct engine_step *step)
{
    gint64 n = support_of(task->params[0]);
    if (n < 2)
        support_done(step, support_number("F", n));
    else if (task->step == 0) {
        support_want(task, step, "F", support_number("N", n - 1), NULL);
        support_want(task, step, "F", support_number("N", n - 2), NULL);
    } else
        support_done(
            step, support_number("F", support_of(task->results[0]) + support_of(task->results[1])));
}

/* What the fact "f" is, and on record. */
static void body_fact(struct support_task *task, struct engine_step *step)
{
    struct world *world = support_rule_of(task)->user;
    const struct fact fact = { FACT_FILE, "f" };
    struct fact_answer answer;
    g_assert_true(world->operations->look_up(world, &fact, 1, &answer, NULL));
    engine_fact(task->call, &fact, &answer);
    support_done(step, support_number("A", answer.what));
}

/* B = whether A is odd. */
static void body_odd(struct support_task *task, struct engine_step *step)
{
    support_done(step, support_number("B", support_of(task->params[0]) % 2));
}

static void body_top(struct support_task *task, struct engine_step *step)
{
    support_done(step, support_number("C", support_of(task->params[0]) + 100));
}

static void body_fails(struct support_task *task, struct engine_step *step)
{
    bool *broken = support_rule_of(task)->user;
    if (*broken)
        support_fail(step, "rules.lua:3: no such thing");
    else
        support_done(step, support_number("A", 1));
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_equal_requests_run_once(void)
{
    struct support_rule rules[] = { { "fib", body_fib }, { NULL } };
    struct support_engine opened;
    support_open_in(&opened, "rule fib F N; F N\nquery F N", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "F", support_number("N", 40), NULL), ==, 102334155);
    g_assert_cmpint(rules[0].starts, ==, 41);
    g_assert_cmpint(ask(&opened, "F", support_number("N", 39), NULL), ==, 63245986);
    g_assert_cmpint(rules[0].starts, ==, 41);
    g_assert_cmpint(rules[0].frees, ==, 41);
    support_close(&opened);
}

static void test_only_the_in_set_is_the_key(void)
{
    struct support_rule rules[] = { { "b", body_number }, { NULL } };
    struct support_engine opened;
    support_open_in(&opened, "rule b B A\nquery B A X", rules, NULL, NULL, 0);
    for (gint64 i = 0; i < 3; i++) {
        struct value *params[] = { support_number("X", i), support_number("A", 7) };
        struct engine_request request = { "B", params, 2 };
        struct engine_result result;
        g_assert_true(engine_run(opened.engine, &request, 1, &result, NULL));
        g_assert_cmpint(support_of(result.value), ==, 14);
        engine_results_clear(&result, 1);
        value_unref(params[0]);
        value_unref(params[1]);
    }
    g_assert_cmpint(rules[0].starts, ==, 1);
    support_close(&opened);
}

static void test_a_query_can_be_for_its_own_param(void)
{
    struct support_rule rules[] = { { "b", body_number }, { NULL } };
    struct support_engine opened;
    support_open_in(&opened, "rule b B A\nquery B A\nquery A A", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "A", support_number("A", 5), NULL), ==, 5);
    support_close(&opened);
}

static void test_early_cut_off(void)
{
    g_autoptr(world) world = world_memory_new();
    struct support_rule rules[] = {
        { "a", body_fact, world }, { "b", body_odd }, { "c", body_top }, { NULL }
    };
    struct support_engine opened;
    struct engine_statistics statistics;
    struct fact_answer answer = answer_of(1);
    support_open_in(&opened, "rule a A\nrule b B A\nrule c C B\nquery C", rules, world, NULL, 0);
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "C", NULL, NULL), ==, 101);

    g_assert_cmpint(ask(&opened, "C", NULL, NULL), ==, 101);
    engine_statistics(opened.engine, &statistics);
    g_assert_cmpuint(statistics.memoised, ==, 1); /* nothing below was asked for */
    g_assert_cmpuint(statistics.facts, ==, 1);

    answer = answer_of(3); /* as odd as before: c is not run */
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "C", NULL, NULL), ==, 101);
    engine_statistics(opened.engine, &statistics);
    g_assert_cmpuint(statistics.ran, ==, 2);
    g_assert_cmpuint(statistics.cleaned, ==, 1);
    g_assert_cmpint(rules[2].starts, ==, 1);

    answer = answer_of(4);
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "C", NULL, NULL), ==, 100);
    g_assert_cmpint(rules[2].starts, ==, 2);
    support_close(&opened);
}

static void test_failures_show_the_chain_and_are_forgotten(void)
{
    bool broken = true;
    struct support_rule rules[] = {
        { "a", body_fails, &broken }, { "b", body_odd }, { "c", body_top }, { NULL }
    };
    struct support_engine opened;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule a A X\nrule b B A\nrule c C B\nquery C X", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "C", support_number("X", 1), &why), ==, -1);
    g_assert_cmpstr(why, ==,
                    "rules.lua:3: no such thing\n"
                    "  in a(X{v=1})\n"
                    "  in b(X{v=1})\n"
                    "  in c(X{v=1})\n"
                    "  in query C(X{v=1})");
    broken = false;
    g_assert_cmpint(ask(&opened, "C", support_number("X", 1), NULL), ==, 101);
    g_assert_cmpint(rules[0].starts, ==, 2);
    support_close(&opened);
}

static void test_uncacheable_rules_run_once_in_every_run(void)
{
    bool broken = false;
    struct support_rule rules[] = { { "a", body_fails, &broken, .uncacheable = true },
                                    { "b", body_odd },
                                    { "c", body_top },
                                    { NULL } };
    struct support_engine opened;
    struct engine_request requests[] = { { "C", NULL, 0 }, { "B", NULL, 0 } };
    struct engine_result results[2];
    support_open_in(&opened, "rule a A\nrule b B A\nrule c C B\nquery C\nquery B", rules, NULL,
                    NULL, 0);
    for (int run = 1; run <= 3; run++) {
        g_assert_true(engine_run(opened.engine, requests, 2, results, NULL));
        g_assert_cmpint(support_of(results[0].value), ==, 101);
        engine_results_clear(results, 2);
        g_assert_cmpint(rules[0].starts, ==, run);
        g_assert_cmpint(rules[1].starts, ==, 1);
    }
    support_close(&opened);
}

static void body_asks_b(struct support_task *task, struct engine_step *step)
{
    if (task->step == 0)
        support_want(task, step, "B", support_number("Y", support_of(task->params[0]) % 3), NULL);
    else
        support_done(step, support_number("A", 0));
}

static void body_asks_a(struct support_task *task, struct engine_step *step)
{
    if (task->step == 0)
        support_want(task, step, "A", support_number("X", support_of(task->params[0]) + 1), NULL);
    else
        support_done(step, support_number("B", 0));
}

static void test_cycles_are_named(void)
{
    struct support_rule rules[] = { { "a", body_asks_b }, { "b", body_asks_a }, { NULL } };
    struct support_engine opened;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule a A X; B Y\nrule b B Y; A X\nquery A X", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "A", support_number("X", 5), &why), ==, -1);
    g_assert_cmpstr(why, ==,
                    "a rule needs its own result\n"
                    "  b(Y{v=2})\n"
                    "  asks for a(X{v=3})\n"
                    "  asks for b(Y{v=0})\n"
                    "  asks for a(X{v=1})\n"
                    "  asks for b(Y{v=1})\n"
                    "  asks for a(X{v=2})\n"
                    "  asks for b(Y{v=2})\n"
                    "  in b(Y{v=2})\n"
                    "  in a(X{v=5})\n"
                    "  in query A(X{v=5})");
    g_assert_cmpint(rules[0].starts, ==, rules[0].frees);
    support_close(&opened);
}

static void body_undeclared(struct support_task *task, struct engine_step *step)
{
    support_want(task, step, "B", support_number("A", 1), support_number("Q", 1), NULL);
}

static void body_wrong_type(struct support_task *task, struct engine_step *step)
{
    support_done(step, value_text("A"));
}

static void test_only_declared_gets_and_outputs(void)
{
    struct support_rule rules[] = {
        { "a", body_undeclared }, { "b", body_number }, { "d", body_wrong_type }, { NULL }
    };
    struct support_engine opened;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule a A; B X\nrule b B X\nrule d D\nquery A\nquery D", rules, NULL,
                    NULL, 0);
    ask(&opened, "A", NULL, &why);
    g_assert_cmpstr(why, ==,
                    "a asks for B <- A, Q, which it does not declare; it declares B <- X\n"
                    "  in a()\n  in query A()");
    g_clear_pointer(&why, g_free);
    ask(&opened, "D", NULL, &why);
    g_assert_cmpstr(why, ==, "it returned a string, not a D\n  in d()\n  in query D()");
    g_clear_pointer(&why, g_free);
    ask(&opened, "D", support_number("A", 1), &why);
    g_assert_nonnull(strstr(why, "query D(A) is not declared"));
    support_close(&opened);
}

enum {
    MANY = 10000
};

static void body_many(struct support_task *task, struct engine_step *step)
{
    if (task->step == 0) {
        for (gint64 i = 0; i < MANY; i++)
            support_want(task, step, "B", support_number("A", i), NULL);
        return;
    }
    gint64 sum = 0;
    g_assert_cmpuint(task->count, ==, MANY);
    for (gint64 i = 0; i < MANY; i++) {
        g_assert_cmpint(support_of(task->results[i]), ==, 2 * i);
        sum += support_of(task->results[i]);
    }
    support_done(step, support_number("C", sum));
}

static void complete_in_thread(gpointer data, gpointer user)
{
    struct support_task *task = data;
    struct engine_step step = { 0 };
    body_number(task, &step);
    engine_complete(task->call, &step);
}

static void body_later(struct support_task *task, struct engine_step *step)
{
    step->outcome = ENGINE_LATER;
    workers_push(support_rule_of(task)->user, task);
}

static void test_ten_thousand_gets_side_by_side(void)
{
    struct workers *pool = workers_new(complete_in_thread, NULL, 4);
    for (int threads = 0; threads < 2; threads++) {
        struct support_rule rules[] = { { "c", body_many },
                                        { "b", threads == 0 ? body_number : body_later, pool },
                                        { NULL } };
        struct support_engine opened;
        support_open_in(&opened, "rule c C; B A\nrule b B A\nquery C", rules, NULL, NULL, 0);
        g_assert_cmpint(ask(&opened, "C", NULL, NULL), ==, (gint64)MANY * (MANY - 1));
        g_assert_cmpint(rules[1].starts, ==, MANY);
        support_close(&opened);
    }
    workers_free(pool);
}

/* A chain as deep as this must not need as much stack. */
static void body_deep(struct support_task *task, struct engine_step *step)
{
    gint64 n = support_of(task->params[0]);
    bool *broken = support_rule_of(task)->user;
    if (n == 0 && *broken)
        support_fail(step, "the bottom");
    else if (n == 0 || task->step == 1)
        support_done(step, support_number("F", n));
    else
        support_want(task, step, "F", support_number("N", n - 1), NULL);
}

static void test_deep_chains(void)
{
    bool broken = true;
    struct support_rule rules[] = { { "deep", body_deep, &broken }, { NULL } };
    struct support_engine opened;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule deep F N; F N\nquery F N", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "F", support_number("N", 200000), &why), ==, -1);
    g_assert_true(g_str_has_prefix(why, "the bottom\n  in deep(N{v=0})\n"));
    g_assert_nonnull(strstr(why, "\n  … 199941 more\n"));
    broken = false;
    g_assert_cmpint(ask(&opened, "F", support_number("N", 200000), NULL), ==, 200000);
    support_close(&opened);
}

/* --- cancellation ----------------------------------------------------------------------------- */

struct waiting {
    GMutex lock;
    GCond changed;
    struct engine_call *call;
    GThread *thread;
    struct engine *engine; /* to be cancelled as soon as the task is there; or NULL */
};

/* Ends when the engine does not want it any more. */
static gpointer wait_until_cancelled(gpointer data)
{
    struct waiting *waiting = data;
    if (waiting->engine != NULL)
        engine_cancel(waiting->engine);
    while (!engine_is_cancelled(waiting->call))
        g_thread_yield();
    const struct engine_step step = { .outcome = ENGINE_FAILED, .error = g_strdup("hurried") };
    engine_complete(waiting->call, &step);
    return NULL;
}

static void body_waits(struct support_task *task, struct engine_step *step)
{
    struct waiting *waiting = support_rule_of(task)->user;
    step->outcome = ENGINE_LATER;
    waiting->call = task->call;
    waiting->thread = g_thread_new("waits", wait_until_cancelled, waiting);
}

static void body_two(struct support_task *task, struct engine_step *step)
{
    support_want(task, step, "A", NULL);
    support_want(task, step, "B", NULL);
}

static void body_always_fails(struct support_task *task, struct engine_step *step)
{
    support_fail(step, "no");
}

static void test_what_nobody_wants_is_cancelled(void)
{
    struct waiting waiting = { 0 };
    struct support_rule rules[] = {
        { "c", body_two }, { "a", body_waits, &waiting }, { "b", body_always_fails }, { NULL }
    };
    struct support_engine opened;
    struct engine_statistics statistics;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule c C; A; B\nrule a A\nrule b B\nquery C", rules, NULL, NULL, 0);
    g_assert_cmpint(ask(&opened, "C", NULL, &why), ==, -1);
    g_assert_cmpstr(why, ==, "no\n  in b()\n  in c()\n  in query C()");
    g_assert_cmpint(rules[1].cancels, ==, 1);
    g_assert_cmpint(rules[1].frees, ==, 1);
    engine_statistics(opened.engine, &statistics);
    g_assert_cmpuint(statistics.cancelled, ==, 1);
    g_assert_cmpuint(statistics.failed, ==, 2);
    g_thread_join(waiting.thread);
    support_close(&opened);
}

static void test_a_run_is_cancelled(void)
{
    struct waiting waiting = { 0 };
    struct support_rule rules[] = { { "a", body_waits, &waiting }, { NULL } };
    struct support_engine opened;
    g_autofree char *why = NULL;
    support_open_in(&opened, "rule a A\nquery A", rules, NULL, NULL, 0);
    waiting.engine = opened.engine;
    g_assert_cmpint(ask(&opened, "A", NULL, &why), ==, -1);
    g_assert_cmpstr(why, ==, "cancelled");
    g_assert_cmpint(rules[0].frees, ==, 1);
    g_thread_join(waiting.thread);
    support_close(&opened);
}

/* --- other -------------------------------------------------------------------------------------
 */

static void body_unkept(struct support_task *task, struct engine_step *step)
{
    engine_unkept(task->call);
    support_done(step, support_number("A", 1));
}

static void test_what_a_task_calls_unkept_runs_again(void)
{
    struct support_rule rules[] = { { "a", body_unkept }, { "b", body_odd }, { NULL } };
    struct support_engine opened;
    support_open_in(&opened, "rule a A\nrule b B A\nquery B", rules, NULL, NULL, 0);
    for (int run = 1; run <= 3; run++) {
        g_assert_cmpint(ask(&opened, "B", NULL, NULL), ==, 1);
        g_assert_cmpint(rules[0].starts, ==, run);
        g_assert_cmpint(rules[1].starts, ==, 1);
    }
    support_close(&opened);
}

/* A rule fails, then comes back to what it was: what was known before still holds. */
static void test_a_value_survives_a_failure(void)
{
    g_autoptr(world) world = world_memory_new();
    bool broken = false;
    struct support_rule rules[] = {
        { "a", body_fact, world }, { "x", body_fails, &broken }, { "b", body_odd }, { NULL }
    };
    struct support_engine opened;
    struct fact_answer answer = answer_of(1);
    support_open_in(&opened, "rule a A\nrule b B A\nquery B", rules, world, NULL, 0);
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "B", NULL, NULL), ==, 1);
    rules[0].body = body_always_fails;
    answer = answer_of(2);
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "B", NULL, NULL), ==, -1);
    answer = answer_of(1);
    world_memory_put(world, FACT_FILE, "f", &answer);
    g_assert_cmpint(ask(&opened, "B", NULL, NULL), ==, 1);
    g_assert_cmpint(rules[2].starts, ==, 1);
    support_close(&opened);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {
        { "equal requests run once", test_equal_requests_run_once },
        { "only the in-set is the key", test_only_the_in_set_is_the_key },
        { "a query can be for its own param", test_a_query_can_be_for_its_own_param },
        { "early cut-off", test_early_cut_off },
        { "failures show the chain and are forgotten",
          test_failures_show_the_chain_and_are_forgotten },
        { "uncacheable rules run once in every run", test_uncacheable_rules_run_once_in_every_run },
        { "cycles are named", test_cycles_are_named },
        { "only declared gets and outputs", test_only_declared_gets_and_outputs },
        { "ten thousand gets side by side", test_ten_thousand_gets_side_by_side },
        { "deep chains", test_deep_chains },
        { "what nobody wants is cancelled", test_what_nobody_wants_is_cancelled },
        { "a run is cancelled", test_a_run_is_cancelled },
        { "what a task calls unkept runs again", test_what_a_task_calls_unkept_runs_again },
        { "a value survives a failure", test_a_value_survives_a_failure },
    };
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/engine/", tests[i].name, NULL);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
