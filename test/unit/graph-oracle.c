// SPDX-License-Identifier: Apache-2.0
/*
 * The definition of doc/design/rule-graph.md, by brute force, against the solver.
 *
 * In-sets are bounded here by enumerating every assignment of live sources to choices, over nodes
 * whose scopes are never cut and without components, work lists or joining; sources then go as the
 * definition says, all at once in each round. Sets are small: at most 64 params, and LIMIT
 * assignments; sets with more are passed over and do not count.
 */
#include "graph-random.h"
#include "graph-support.h"

#define LIMIT 3000
#define MAX_NODES 120

struct place { /* a node: rule (or -1 - query), scope, wanted; way: 0 plain, 1 eager, 2 either */
    int rule, way;
    guint64 scope, wanted, taken;
    GArray *needs;
    bool dead, grounded, sure, faulty;
    guint64 low, high, in;
};

struct option {
    int node, param; /* one of them, the other -1 */
    bool live, lost; /* lost: it went because it has no source itself */
};

struct need {
    int key; /* -1 between two ways */
    int output;
    bool get;
    guint64 provides, wanted;
    GArray *options;
    guint pick; /* in the assignment under way: nth live option */
};

struct oracle {
    const struct random_set *set;
    GArray *places;
    bool overflow;
    GHashTable *errors;
};

#define PLACE(oracle, i) (&g_array_index((oracle)->places, struct place, i))
#define NEED(place, i) (&g_array_index((place)->needs, struct need, i))
#define OPTION(need, i) (&g_array_index((need)->options, struct option, i))

static void clear_place(gpointer data)
{
    g_array_unref(((struct place *)data)->needs);
}

static void clear_need(gpointer data)
{
    g_array_unref(((struct need *)data)->options);
}

static guint64 bit(int type)
{
    return (guint64)1 << type;
}

static guint size(guint64 set)
{
    return (guint)__builtin_popcountll(set);
}

static int place_of(struct oracle *oracle, int rule, int way, guint64 scope, guint64 wanted)
{
    for (guint i = 0; i < oracle->places->len; i++) {
        const struct place *at = PLACE(oracle, i);
        if (at->rule == rule && at->way == way && at->scope == scope && at->wanted == wanted)
            return (int)i;
    }
    struct place place = { .rule = rule, .way = way, .scope = scope, .wanted = wanted };
    for (int i = 0; rule >= 0 && i < oracle->set->rules[rule].param_count; i++)
        place.taken |= bit(oracle->set->rules[rule].params[i]) & scope;
    place.needs = g_array_new(FALSE, TRUE, sizeof(struct need));
    g_array_set_clear_func(place.needs, clear_need);
    g_array_append_val(oracle->places, place);
    return (int)oracle->places->len - 1;
}

/* Without anything to choose below, both ways are one: which the outcome must not depend on. */
static int entry_of(struct oracle *oracle, int rule, guint64 scope, guint64 wanted)
{
    const struct random_rule *of = &oracle->set->rules[rule];
    guint64 taken = 0;
    for (int i = 0; i < of->param_count; i++)
        taken |= bit(of->params[i]) & scope;
    wanted &= scope;
    return place_of(oracle, rule, (wanted & ~taken) != 0 ? 2 : 0, scope, wanted);
}

static void add_need(struct oracle *oracle, int id, int key, int output, bool get, guint64 provides,
                     guint64 below, guint64 wanted)
{
    struct need need = { .key = key, .output = output, .get = get, .provides = provides };
    need.wanted = wanted | provides;
    need.options = g_array_new(FALSE, TRUE, sizeof(struct option));
    bool in_scope = !get && (PLACE(oracle, id)->scope & bit(output)) != 0;
    if (in_scope) {
        struct option option = { .node = -1, .param = output, .live = true };
        g_array_append_val(need.options, option);
    }
    bool asked_for = in_scope && (PLACE(oracle, id)->wanted & bit(output)) != 0;
    for (int i = 0; i < oracle->set->rule_count && !asked_for; i++) {
        if (oracle->set->rules[i].output != output)
            continue;
        struct option option = { .param = -1, .live = true };
        option.node = entry_of(oracle, i, below | provides, need.wanted);
        g_array_append_val(need.options, option);
    }
    g_array_append_val(PLACE(oracle, id)->needs, need);
}

static void add_ways(struct oracle *oracle, int id)
{
    struct place place = *PLACE(oracle, id);
    struct need need = { .key = -1, .wanted = place.wanted };
    need.options = g_array_new(FALSE, TRUE, sizeof(struct option));
    for (int way = 0; way < 2; way++) {
        struct option option = { .param = -1, .live = true };
        guint64 wanted = way == 0 ? place.wanted & place.taken : place.wanted;
        option.node = place_of(oracle, place.rule, way, place.scope, wanted);
        g_array_append_val(need.options, option);
    }
    g_array_append_val(PLACE(oracle, id)->needs, need);
}

static void expand(struct oracle *oracle, int id)
{
    struct place place = *PLACE(oracle, id);
    if (place.way == 2) {
        add_ways(oracle, id);
        return;
    }
    if (place.rule < 0) {
        int output = oracle->set->queries[-1 - place.rule].output;
        add_need(oracle, id, 0, output, false, 0, place.scope, 0);
        return;
    }
    const struct random_rule *rule = &oracle->set->rules[place.rule];
    guint64 below = place.scope & ~place.taken, wanted = place.way == 1 ? place.wanted & below : 0;
    for (int i = 0; i < rule->param_count; i++)
        add_need(oracle, id, i, rule->params[i], false, 0, below, wanted);
    for (int i = 0; i < rule->get_count; i++)
        add_need(oracle, id, rule->param_count + i, rule->gets[i].output, true,
                 rule->gets[i].inputs, below, wanted);
}

static guint live_count(const struct need *need)
{
    guint count = 0;
    for (guint i = 0; i < need->options->len; i++)
        count += OPTION(need, i)->live;
    return count;
}

static struct option *live_at(const struct need *need, guint nth)
{
    for (guint i = 0; i < need->options->len; i++)
        if (OPTION(need, i)->live && nth-- == 0)
            return OPTION(need, i);
    return NULL;
}

static void bury(struct oracle *oracle)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < oracle->places->len; i++) {
            struct place *place = PLACE(oracle, i);
            for (guint n = 0; n < place->needs->len; n++) {
                struct need *need = NEED(place, n);
                for (guint o = 0; o < need->options->len; o++) {
                    struct option *option = OPTION(need, o);
                    if (option->live && option->node >= 0 && PLACE(oracle, option->node)->dead) {
                        option->live = false;
                        option->lost = changed = true;
                    }
                }
                if (!place->dead && live_count(need) == 0)
                    place->dead = changed = true;
            }
        }
    }
}

/* The least in-sets under the assignment picked. */
static void assign(struct oracle *oracle)
{
    for (guint i = 0; i < oracle->places->len; i++)
        PLACE(oracle, i)->in = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < oracle->places->len; i++) {
            struct place *place = PLACE(oracle, i);
            guint64 in = 0;
            for (guint n = 0; n < place->needs->len && !place->dead; n++) {
                const struct option *taken = live_at(NEED(place, n), NEED(place, n)->pick);
                guint64 below =
                    taken->node < 0 ? bit(taken->param) : PLACE(oracle, taken->node)->in;
                in |= below & ~NEED(place, n)->provides;
            }
            changed |= in != place->in;
            place->in = in;
        }
    }
}

static bool next_assignment(struct oracle *oracle)
{
    for (guint i = 0; i < oracle->places->len; i++)
        for (guint n = 0; n < PLACE(oracle, i)->needs->len; n++) {
            struct need *need = NEED(PLACE(oracle, i), n);
            if (PLACE(oracle, i)->dead)
                continue;
            if (++need->pick < live_count(need))
                return true;
            need->pick = 0;
        }
    return false;
}

static bool enumerate(struct oracle *oracle)
{
    for (guint i = 0; i < oracle->places->len; i++) {
        PLACE(oracle, i)->low = ~(guint64)0;
        PLACE(oracle, i)->high = 0;
        for (guint n = 0; n < PLACE(oracle, i)->needs->len; n++)
            NEED(PLACE(oracle, i), n)->pick = 0;
    }
    int count = 0;
    do {
        assign(oracle);
        for (guint i = 0; i < oracle->places->len; i++) {
            PLACE(oracle, i)->low &= PLACE(oracle, i)->in;
            PLACE(oracle, i)->high |= PLACE(oracle, i)->in;
        }
        if (++count > LIMIT)
            return false;
    } while (next_assignment(oracle));
    return true;
}

/* `first`: in places that are dead already, too, so that errors name it. */
static bool drop_unused(struct oracle *oracle, bool first)
{
    bool changed = false;
    for (guint i = 0; i < oracle->places->len; i++)
        for (guint n = 0; n < PLACE(oracle, i)->needs->len; n++) {
            struct need *need = NEED(PLACE(oracle, i), n);
            for (guint o = 0; o < need->options->len && (first || !PLACE(oracle, i)->dead); o++) {
                struct option *option = OPTION(need, o);
                if (!option->live || option->node < 0 ||
                    (need->provides & ~PLACE(oracle, option->node)->high) == 0)
                    continue;
                option->live = false;
                changed = true;
            }
        }
    return changed;
}

static bool grounded(const struct oracle *oracle, const struct need *need,
                     const struct option *option)
{
    return option->node < 0 || need->provides != 0 || PLACE(oracle, option->node)->grounded;
}

static void ground(struct oracle *oracle)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < oracle->places->len; i++) {
            struct place *place = PLACE(oracle, i);
            bool all = !place->dead;
            for (guint n = 0; n < place->needs->len; n++) {
                bool any = false;
                for (guint o = 0; o < NEED(place, n)->options->len; o++) {
                    const struct option *option = OPTION(NEED(place, n), o);
                    any |= option->live && grounded(oracle, NEED(place, n), option);
                }
                all &= any;
            }
            changed |= all != place->grounded;
            place->grounded = all;
        }
    }
    for (guint i = 0; i < oracle->places->len; i++)
        for (guint n = 0; n < PLACE(oracle, i)->needs->len; n++) {
            struct need *need = NEED(PLACE(oracle, i), n);
            bool any = false;
            for (guint o = 0; o < need->options->len; o++)
                any |= OPTION(need, o)->live && (OPTION(need, o)->node < 0 ||
                                                 PLACE(oracle, OPTION(need, o)->node)->grounded);
            for (guint o = 0; any && o < need->options->len; o++)
                if (OPTION(need, o)->node >= 0 && !PLACE(oracle, OPTION(need, o)->node)->grounded)
                    OPTION(need, o)->live = false;
        }
}

static bool sure_option(const struct oracle *oracle, const struct need *need,
                        const struct option *option)
{
    if (option->node < 0)
        return true;
    const struct place *place = PLACE(oracle, option->node);
    return place->sure && (need->provides & ~place->low) == 0;
}

static void find_sure(struct oracle *oracle)
{
    for (guint i = 0; i < oracle->places->len; i++)
        PLACE(oracle, i)->sure = !PLACE(oracle, i)->dead;
    for (bool changed = true; changed;) {
        changed = false;
        for (guint i = 0; i < oracle->places->len; i++) {
            struct place *place = PLACE(oracle, i);
            for (guint n = 0; n < place->needs->len && place->sure; n++) {
                bool any = false;
                for (guint o = 0; o < NEED(place, n)->options->len; o++) {
                    const struct option *option = OPTION(NEED(place, n), o);
                    any |= option->live && sure_option(oracle, NEED(place, n), option);
                }
                if (!any) {
                    place->sure = false;
                    changed = true;
                }
            }
        }
    }
}

static guint64 low_of(const struct oracle *oracle, const struct option *option)
{
    return option->node < 0 ? bit(option->param) : PLACE(oracle, option->node)->low;
}

static guint64 high_of(const struct oracle *oracle, const struct option *option)
{
    return option->node < 0 ? bit(option->param) : PLACE(oracle, option->node)->high;
}

static bool beats(const struct oracle *oracle, const struct need *need, const struct option *winner,
                  const struct option *loser)
{
    guint used = size(low_of(oracle, winner) & need->wanted);
    guint could = size(high_of(oracle, loser) & need->wanted);
    if (!sure_option(oracle, need, winner))
        return false;
    if (need->key < 0)
        return winner == OPTION(need, 0) ? used >= could : used > could;
    return used > could ||
           (used == could && size(high_of(oracle, winner)) < size(low_of(oracle, loser)));
}

static bool drop_beaten(struct oracle *oracle)
{
    bool changed = false;
    for (guint i = 0; i < oracle->places->len; i++)
        for (guint n = 0; n < PLACE(oracle, i)->needs->len && !PLACE(oracle, i)->dead; n++) {
            struct need *need = NEED(PLACE(oracle, i), n);
            guint64 losers = 0;
            for (guint a = 0; a < need->options->len; a++)
                for (guint b = 0; b < need->options->len; b++)
                    if (a != b && OPTION(need, a)->live && OPTION(need, b)->live &&
                        beats(oracle, need, OPTION(need, a), OPTION(need, b)))
                        losers |= bit((int)b);
            for (guint b = 0; b < need->options->len; b++)
                if (losers & bit((int)b)) {
                    OPTION(need, b)->live = false;
                    changed = true;
                }
        }
    return changed;
}

static bool reaches(const struct oracle *oracle, int from, int to)
{
    bool seen[MAX_NODES] = { 0 };
    int stack[MAX_NODES], height = 0;
    stack[height++] = from;
    seen[from] = true;
    while (height > 0) {
        const struct place *place = PLACE(oracle, stack[--height]);
        for (guint n = 0; n < place->needs->len; n++)
            for (guint o = 0; o < NEED(place, n)->options->len; o++) {
                const struct option *option = OPTION(NEED(place, n), o);
                if (!option->live || option->node < 0)
                    continue;
                if (option->node == to)
                    return true;
                if (!seen[option->node])
                    stack[height++] = option->node;
                seen[option->node] = true;
            }
    }
    return false;
}

static bool would_take(const struct oracle *oracle, int id)
{
    const struct place *place = PLACE(oracle, id);
    if (place->way != 2 || place->dead || live_count(NEED(place, 0)) < 2)
        return false;
    const struct need *need = NEED(place, 0);
    return sure_option(oracle, need, OPTION(need, 1)) &&
           size(low_of(oracle, OPTION(need, 1)) & need->wanted) >
               size(low_of(oracle, OPTION(need, 0)) & need->wanted);
}

/* Of those that would, those that depend on no other that does not depend on them. */
static bool take_certain(struct oracle *oracle)
{
    bool takes[MAX_NODES] = { 0 }, changed = false;
    int count = (int)oracle->places->len;
    for (int i = 0; i < count; i++) {
        takes[i] = would_take(oracle, i);
        for (int k = 0; takes[i] && k < count; k++)
            if (k != i && would_take(oracle, k) && reaches(oracle, i, k) && !reaches(oracle, k, i))
                takes[i] = false;
    }
    for (int i = 0; i < count; i++)
        if (takes[i]) {
            OPTION(NEED(PLACE(oracle, i), 0), 0)->live = false;
            changed = true;
        }
    return changed;
}

static bool decide(struct oracle *oracle)
{
    bury(oracle);
    if (!enumerate(oracle))
        return false;
    drop_unused(oracle, true);
    bury(oracle);
    ground(oracle);
    do {
        for (bool changed = true; changed;) {
            bury(oracle);
            if (!enumerate(oracle))
                return false;
            find_sure(oracle);
            changed = drop_unused(oracle, false);
            changed |= drop_beaten(oracle);
        }
    } while (take_certain(oracle));
    return true;
}

static void note(struct oracle *oracle, const char *kind, int id, const struct need *need)
{
    struct place *place = PLACE(oracle, id);
    place->faulty = true;
    g_autoptr(GString) text = g_string_new(kind);
    g_string_append_printf(text, " %c ", 'A' + need->output);
    if (place->rule >= 0)
        g_string_append_printf(text, "r%d", place->rule);
    else
        random_append_query(oracle->set, -1 - place->rule, text);
    g_hash_table_add(oracle->errors, g_strdup(text->str));
}

/* A need without a source, or with several: noted here, or left to what is below. */
static void visit_missing(struct oracle *oracle, int id, const struct need *need, GArray *queue)
{
    bool single = need->options->len == 1 || need->key < 0;
    if (single && OPTION(need, 0)->lost) {
        g_array_append_val(queue, OPTION(need, 0)->node);
        return;
    }
    bool param = !need->get && PLACE(oracle, id)->rule >= 0;
    note(oracle, need->options->len == 0 && !param ? "no_rule" : "no_source", id, need);
}

static void visit_tie(struct oracle *oracle, int id, guint at, GArray *queue, GArray *postponed)
{
    const struct need *need = NEED(PLACE(oracle, id), at);
    bool below = false;
    for (guint o = 0; o < need->options->len; o++) {
        const struct option *option = OPTION(need, o);
        if (!option->live || low_of(oracle, option) == high_of(oracle, option))
            continue;
        g_array_append_val(queue, option->node);
        below = true;
    }
    int both[2] = { id, (int)at };
    if (below || need->key < 0)
        g_array_append_vals(postponed, both, 2);
    else
        note(oracle, "ambiguous", id, need);
}

static const struct need *shown(const struct oracle *oracle, const struct need *need, int *id)
{
    while (need->key < 0) {
        *id = OPTION(need, 1)->node;
        const struct place *place = PLACE(oracle, *id);
        need = NEED(place, 0);
        for (guint n = place->needs->len; n-- > 0;)
            if (live_count(NEED(place, n)) > 1)
                need = NEED(place, n);
    }
    return need;
}

static bool fault_below(const struct oracle *oracle, int id)
{
    for (int i = 0; i < (int)oracle->places->len; i++)
        if (PLACE(oracle, i)->faulty && (i == id || reaches(oracle, id, i)))
            return true;
    return false;
}

/* Those with no error below, and none of their kind that does not depend on them in turn. */
static void report_postponed(struct oracle *oracle, const GArray *postponed)
{
    bool explained[MAX_NODES] = { 0 };
    for (guint i = 0; i < postponed->len; i += 2) {
        int id = g_array_index(postponed, int, i);
        explained[id] = fault_below(oracle, id);
        for (guint k = 0; k < postponed->len; k += 2) {
            int other = g_array_index(postponed, int, k);
            explained[id] |=
                other != id && reaches(oracle, id, other) && !reaches(oracle, other, id);
        }
    }
    for (guint i = 0; i < postponed->len; i += 2) {
        int id = g_array_index(postponed, int, i), at = id;
        const struct place *place = PLACE(oracle, id);
        for (guint n = 0; n < place->needs->len && !explained[id]; n++) {
            if (live_count(NEED(place, n)) < 2)
                continue;
            const struct need *need = shown(oracle, NEED(place, n), &at);
            note(oracle, "ambiguous", at, need);
        }
    }
}

static void find_errors(struct oracle *oracle)
{
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GArray) postponed = g_array_new(FALSE, FALSE, sizeof(int));
    bool seen[MAX_NODES] = { 0 };
    for (int i = 0; i < oracle->set->query_count; i++)
        g_array_append_val(queue, i);
    for (guint i = 0; i < queue->len; i++) {
        int id = g_array_index(queue, int, i);
        if (seen[id])
            continue;
        seen[id] = true;
        for (guint n = 0; n < PLACE(oracle, id)->needs->len; n++) {
            const struct need *need = NEED(PLACE(oracle, id), n);
            guint live = live_count(need);
            if (live == 0)
                visit_missing(oracle, id, need, queue);
            else if (live > 1)
                visit_tie(oracle, id, n, queue, postponed);
            else if (live_at(need, 0)->node >= 0)
                g_array_append_val(queue, live_at(need, 0)->node);
        }
    }
    report_postponed(oracle, postponed);
}

static int resolve(const struct oracle *oracle, int id)
{
    return PLACE(oracle, id)->way == 2 ? live_at(NEED(PLACE(oracle, id), 0), 0)->node : id;
}

static guint64 params_of(const struct graph_node *node)
{
    guint64 set = 0;
    for (guint i = 0; node->params[i] != NULL; i++)
        set |= bit(node->params[i][0] - 'A');
    return set;
}

/* Walks both graphs side by side from one node of each. */
static void compare(const struct oracle *oracle, int id, const struct graph *graph, guint node,
                    GHashTable *seen)
{
    gsize count;
    const struct graph_node *of = &graph_nodes(graph, &count)[node];
    id = resolve(oracle, id);
    if (!g_hash_table_add(seen, GUINT_TO_POINTER((guint)id * 65536 + node + 1)))
        return;
    const struct place *place = PLACE(oracle, id);
    g_assert_cmpuint(of->dependency_count, ==, place->needs->len);
    if (place->rule >= 0) {
        g_assert_cmpint(of->kind, ==, GRAPH_RULE);
        g_assert_cmpint(atoi(of->name + 1), ==, place->rule);
        g_assert_cmphex(params_of(of), ==, place->high);
    }
    for (guint n = 0; n < place->needs->len; n++) {
        const struct option *option = live_at(NEED(place, n), 0);
        guint target = of->dependencies[n].node;
        const struct graph_node *below = &graph_nodes(graph, &count)[target];
        if (option->node >= 0) {
            compare(oracle, option->node, graph, target, seen);
        } else {
            g_assert_cmpint(below->kind, ==, GRAPH_PARAM);
            g_assert_cmpint(below->name[0] - 'A', ==, option->param);
        }
    }
}

static void compare_outcome(struct oracle *oracle, const struct graph *graph)
{
    gsize count;
    const struct graph_error *errors = graph_errors(graph, &count);
    g_autoptr(GHashTable) theirs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (gsize i = 0; i < count; i++)
        g_hash_table_add(theirs, g_strdup_printf("%s %s %s", graph_fault_name(errors[i].kind),
                                                 errors[i].output, errors[i].node));
    find_errors(oracle);
    GHashTableIter iter;
    gpointer text;
    g_hash_table_iter_init(&iter, oracle->errors);
    while (g_hash_table_iter_next(&iter, &text, NULL))
        if (!g_hash_table_contains(theirs, text))
            g_error("the solver does not report: %s", (char *)text);
    g_hash_table_iter_init(&iter, theirs);
    while (g_hash_table_iter_next(&iter, &text, NULL))
        if (!g_hash_table_contains(oracle->errors, text))
            g_error("the solver alone reports: %s", (char *)text);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (int i = 0; count == 0 && i < oracle->set->query_count; i++) {
        g_auto(GStrv) params = random_params(oracle->set->queries[i].params);
        char output[2] = { (char)('A' + oracle->set->queries[i].output), '\0' };
        gint64 node = graph_find(graph, output, (const char *const *)params, NULL);
        g_assert_cmpint(node, >=, 0);
        compare(oracle, i, graph, (guint)node, seen);
    }
}

/* 0 passed over, 1 agreed on a graph, 2 agreed on errors. */
static int check(const struct random_set *set)
{
    struct oracle oracle = { .set = set };
    oracle.places = g_array_new(FALSE, TRUE, sizeof(struct place));
    g_array_set_clear_func(oracle.places, clear_place);
    oracle.errors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int i = 0; i < set->query_count; i++)
        place_of(&oracle, -1 - i, 0, set->queries[i].params, 0);
    for (guint i = 0; i < oracle.places->len && i < MAX_NODES; i++)
        expand(&oracle, (int)i);
    int outcome = 0;
    if (oracle.places->len < MAX_NODES && decide(&oracle)) {
        g_autofree char *text = random_text(set);
        g_test_message("%s", text);
        g_autoptr(graph) graph = support_solve(text);
        compare_outcome(&oracle, graph);
        outcome = g_hash_table_size(oracle.errors) == 0 ? 1 : 2;
    }
    g_array_unref(oracle.places);
    g_hash_table_unref(oracle.errors);
    return outcome;
}

static void test_agrees(void)
{
    const char *wish = g_getenv("GRAPH_ORACLE_SETS");
    int want = wish != NULL ? atoi(wish) : 10000, counts[3] = { 0 };
    for (guint32 seed = 1; counts[1] + counts[2] < want; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        struct random_set set;
        random_small(rand, &set);
        char *caught = g_strdup_printf("seed %u", seed);
        g_test_message("%s", caught);
        g_free(caught);
        counts[check(&set)]++;
    }
    g_test_message("%d sets passed over, %d graphs, %d errors", counts[0], counts[1], counts[2]);
    /* A generator that makes only wrong sets, or only right ones, would test half of it. */
    g_assert_cmpint(counts[1], >, want / 10);
    g_assert_cmpint(counts[2], >, want / 10);
    g_assert_cmpint(counts[0], <, want * 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/oracle/the solver agrees with the definition by brute force",
                    test_agrees);
    return g_test_run();
}
