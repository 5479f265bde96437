// SPDX-License-Identifier: Apache-2.0
#include "trace-support.h"

static void only_the_strongest_fact_is_kept_per_path(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_kind(recorder, "/w/a", 1, TRACE_FILE);
    note_host(recorder, "/w/a", 2, stamp_of(7, 9));
    note_kind(recorder, "/w/a", 3, TRACE_FILE);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_fact_count(trace), ==, 1);
    const struct trace_fact *fact = trace_fact(trace, 0);
    g_assert_cmpuint(fact->aspects, ==, TRACE_KIND | TRACE_CONTENT);
    g_assert_cmpuint(fact->asked[1], ==, 1);
    g_assert_cmpuint(fact->asked[2], ==, 2);
    g_assert_cmpuint(fact->value.kind, ==, TRACE_FILE);
    g_assert_cmpuint(fact->value.mode, ==, 0644);
    guint64 content[] = { 7, 9 };
    struct digest expected;
    digest_of(content, sizeof content, &expected);
    g_assert_true(digest_equal(&fact->value.digest, &expected));
    assert_refusal(trace, NULL);
}

static void paths_below_the_workspace_are_relative_and_sorted(void)
{
    static const char *const paths[] = { "/w-x/f", "/w/b", "/w/a-b", "/w/a/c", "/w/a", "/w", "/" };
    static const char *const kept[] = { "", "/", "/w-x/f", "a", "a/c", "a-b", "b" };
    g_autoptr(recorder) recorder = recorder_new("/w");
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
        note_kind(recorder, paths[i], 0, TRACE_DIRECTORY);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_fact_count(trace), ==, G_N_ELEMENTS(kept));
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
        g_assert_cmpstr(trace_fact(trace, i)->path, ==, kept[i]);
        g_assert_true(trace_find(trace, kept[i]) == trace_fact(trace, i));
    }
    g_assert_null(trace_find(trace, "c"));
    g_assert_null(trace_find(trace, "/w"));
}

static void a_workspace_may_be_the_root_directory(void)
{
    g_autoptr(recorder) recorder = recorder_new("/");
    note_kind(recorder, "/", 0, TRACE_DIRECTORY);
    note_host(recorder, "/etc/x", 0, stamp_of(1, 1));
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpstr(trace_fact(trace, 0)->path, ==, "");
    g_assert_cmpstr(trace_fact(trace, 1)->path, ==, "etc/x");
}

static void expect_paths(struct seal_item *items, size_t count, void *user)
{
    g_assert_cmpuint(count, ==, 3);
    g_assert_cmpstr(items[0].path, ==, "/w");
    g_assert_cmpstr(items[1].path, ==, "/x");
    g_assert_cmpstr(items[2].path, ==, "/w/a");
}

static void sealing_asks_for_all_host_files_at_once_by_absolute_path(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_host(recorder, "/w/a", 0, stamp_of(1, 1));
    note_host(recorder, "/x", 0, stamp_of(2, 1));
    note_host(recorder, "/w", 0, stamp_of(3, 1));
    note_known(recorder, "/w/known", 0, "content");
    note_kind(recorder, "/w/b", 0, TRACE_FILE);
    g_autoptr(trace) trace = recorder_seal(recorder, expect_paths, NULL);
    assert_refusal(trace, ". and 2 more changed while they were in use");
}

static void nothing_but_absence_is_learned_of_what_is_not_there(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    const struct sight sight = { .kind = TRACE_NOTHING };
    recorder_note(recorder, "/w/a", TRACE_KIND | TRACE_CONTENT | TRACE_TIME, 4, &sight);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_fact(trace, 0)->aspects, ==, TRACE_ABSENT);
    g_assert_cmpuint(trace_fact(trace, 0)->asked[0], ==, 4);
}

static void only_files_and_directories_have_attributes_of_the_user(void)
{
    static const enum trace_kind kinds[] = { TRACE_FILE, TRACE_DIRECTORY, TRACE_LINK, TRACE_FIFO };
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autoptr(recorder) recorder = recorder_new("/w");
        note_xattrs(recorder, "/w/a", 3, kinds[i], SOME_XATTRS);
        g_autoptr(trace) trace = sealed(recorder);
        const struct trace_fact *fact = trace_fact(trace, 0);
        g_assert_cmpuint(fact->aspects, ==, i < 2 ? TRACE_KIND | TRACE_XATTRS : TRACE_KIND);
        g_assert_cmpstr(fact->value.xattrs, ==, i < 2 ? SOME_XATTRS : NULL);
        g_assert_cmpuint(fact->asked[6], ==, i < 2 ? 3 : 0);
    }
}

static void names_need_not_be_utf8(void)
{
    g_autoptr(recorder) recorder = recorder_new("/\xff");
    note_kind(recorder, "/\xff/\xfe\n", 0, TRACE_FILE);
    note_kind(recorder, "/\xfd", 0, TRACE_FILE);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpstr(trace_fact(trace, 0)->path, ==, "/\xfd");
    g_assert_cmpstr(trace_fact(trace, 1)->path, ==, "\xfe\n");
}

/* --- stability -------------------------------------------------------------------------------- */

static void expect_unstable(void (*first)(struct recorder *), void (*second)(struct recorder *))
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    first(recorder);
    second(recorder);
    g_autoptr(trace) trace = sealed(recorder);
    assert_refusal(trace, "p changed while it was in use");
    g_autoptr(recorder) again = recorder_new("/w");
    first(again);
    first(again);
    g_autoptr(trace) same = sealed(again);
    assert_refusal(same, NULL);
}

static void absent(struct recorder *recorder)
{
    note_absent(recorder, "/w/p", 0);
}

static void file(struct recorder *recorder)
{
    note_kind(recorder, "/w/p", 0, TRACE_FILE);
}

static void directory(struct recorder *recorder)
{
    note_kind(recorder, "/w/p", 0, TRACE_DIRECTORY);
}

static void host(struct recorder *recorder)
{
    note_host(recorder, "/w/p", 0, stamp_of(1, 1));
}

static void tagged(struct recorder *recorder)
{
    note_xattrs(recorder, "/w/p", 0, TRACE_FILE, SOME_XATTRS);
}

static void tagged_otherwise(struct recorder *recorder)
{
    note_xattrs(recorder, "/w/p", 0, TRACE_FILE, OTHER_XATTRS);
}

static void without_tags(struct recorder *recorder)
{
    note_xattrs(recorder, "/w/p", 0, TRACE_FILE, NULL);
}

static void host_later(struct recorder *recorder)
{
    note_host(recorder, "/w/p", 0, stamp_of(1, 2));
}

static void known(struct recorder *recorder)
{
    note_known(recorder, "/w/p", 0, "x");
}

static void known_otherwise(struct recorder *recorder)
{
    note_known(recorder, "/w/p", 0, "y");
}

static void unreadable(struct recorder *recorder)
{
    const struct sight sight = { .kind = TRACE_FILE, .mode = 0644 };
    recorder_note(recorder, "/w/p", TRACE_CONTENT, 0, &sight);
}

static void names(struct recorder *recorder)
{
    note_names(recorder, "/w/p", 0, "a");
}

static void other_names(struct recorder *recorder)
{
    note_names(recorder, "/w/p", 0, "b");
}

static void target(struct recorder *recorder)
{
    note_link(recorder, "/w/p", 0, "a");
}

static void other_target(struct recorder *recorder)
{
    note_link(recorder, "/w/p", 0, "b");
}

static void time_one(struct recorder *recorder)
{
    note_time(recorder, "/w/p", 0, 1);
}

static void time_two(struct recorder *recorder)
{
    note_time(recorder, "/w/p", 0, 2);
}

static void sights_that_disagree_make_a_path_unstable(void)
{
    expect_unstable(absent, file);
    expect_unstable(file, absent);
    expect_unstable(file, directory);
    expect_unstable(tagged, tagged_otherwise);
    expect_unstable(tagged, without_tags);
    expect_unstable(without_tags, tagged);
    expect_unstable(host, host_later); /* an edit and its revert too: the ctime tells */
    expect_unstable(known, known_otherwise);
    expect_unstable(host, known); /* sealing finds other content */
    expect_unstable(known, host);
    expect_unstable(known, unreadable);
    expect_unstable(unreadable, host);
    expect_unstable(names, other_names);
    expect_unstable(target, other_target);
    expect_unstable(time_one, time_two);
}

static void what_was_not_learned_may_change(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    file(recorder);
    host(recorder);
    note_kind(recorder, "/w/d", 0, TRACE_DIRECTORY);
    note_names(recorder, "/w/d", 0, "a");
    time_one(recorder);
    g_autoptr(trace) trace = sealed(recorder);
    assert_refusal(trace, NULL);
}

static void unstable_stays_unstable(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    host(recorder);
    host_later(recorder);
    host(recorder);
    g_autoptr(trace) trace = sealed(recorder);
    assert_refusal(trace, "p changed while it was in use");
    g_autoptr(recorder) told = recorder_new("/w");
    recorder_unstable(told, "/w/p");
    g_autoptr(trace) second = sealed(told);
    assert_refusal(second, "p changed while it was in use");
}

static void find_outcomes(struct seal_item *items, size_t count, void *user)
{
    g_assert_cmpuint(count, ==, 2);
    items[0].outcome = SEAL_UNREADABLE;
    g_assert_cmpint(items[1].outcome, ==, SEAL_CHANGED);
}

static void a_file_that_is_another_when_sealed_is_unstable(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_host(recorder, "/w/secret", 0, stamp_of(1, 1));
    note_host(recorder, "/w/x", 0, stamp_of(2, 1));
    g_autoptr(trace) trace = recorder_seal(recorder, find_outcomes, NULL);
    assert_refusal(trace, "x changed while it was in use");
    g_assert_true(trace_fact(trace, 0)->value.unreadable);
    g_assert_false(trace_fact(trace, 0)->unstable);
    g_assert_true(trace_fact(trace, 1)->unstable);
}

static void the_first_reason_not_to_store_wins(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    host(recorder);
    host_later(recorder);
    recorder_uncacheable(recorder, "it used the network");
    recorder_uncacheable(recorder, "it read a terminal");
    g_autoptr(trace) trace = sealed(recorder);
    assert_refusal(trace, "it used the network");
}

/* --- processes, writes, times ------------------------------------------------------------------
 */

static void processes_are_kept_as_they_began(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    char *argv[] = { "cc", "-c", "", NULL }, *environment[] = { "B=\xff", "A=1", NULL };
    struct trace_process process = { .pid = 12,
                                     .start = 34,
                                     .argv = argv,
                                     .environment = environment,
                                     .directory = "/w/d",
                                     .program = "/usr/bin/cc" };
    g_assert_cmpuint(recorder_process(recorder, &process), ==, 1);
    process = (struct trace_process){ .pid = 13, .parent = 1, .environment = environment };
    g_assert_cmpuint(recorder_process(recorder, &process), ==, 2);
    environment[0] = argv[0] = "changed";
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_process_count(trace), ==, 2);
    const struct trace_process *first = trace_process(trace, 1), *second = trace_process(trace, 2);
    g_assert_cmpuint(first->pid, ==, 12);
    g_assert_cmpuint(first->start, ==, 34);
    g_assert_cmpuint(first->parent, ==, 0);
    g_assert_cmpstr(first->argv[0], ==, "cc");
    g_assert_cmpstr(first->argv[2], ==, "");
    g_assert_null(first->argv[3]);
    g_assert_cmpstr(first->environment[0], ==, "B=\xff");
    g_assert_cmpstr(first->directory, ==, "/w/d");
    g_assert_cmpstr(first->program, ==, "/usr/bin/cc");
    g_assert_cmpuint(second->parent, ==, 1);
    g_assert_true(second->environment == first->environment); /* shared */
    g_assert_null(second->argv[0]);
    g_assert_null(second->program);
}

static void writes_are_kept_per_path_and_writer(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    recorder_write(recorder, "/w/b", 2, TRACE_WROTE);
    recorder_write(recorder, "/w/b", 1, TRACE_CREATED);
    recorder_write(recorder, "/w/b", 1, TRACE_WROTE);
    recorder_write(recorder, "/tmp/a", 1, TRACE_REMOVED);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_written_count(trace), ==, 3);
    g_assert_cmpstr(trace_written(trace, 0)->path, ==, "/tmp/a");
    g_assert_cmpstr(trace_written(trace, 1)->path, ==, "b");
    g_assert_cmpuint(trace_written(trace, 1)->process, ==, 1);
    g_assert_cmpuint(trace_written(trace, 1)->what, ==, TRACE_CREATED | TRACE_WROTE);
    g_assert_cmpuint(trace_written(trace, 2)->process, ==, 2);
}

static void of_times_only_their_order_is_kept(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    note_time(recorder, "/w/a", 0, 500);
    note_time(recorder, "/w/b", 0, -7);
    note_time(recorder, "/w/c", 0, 500);
    note_time(recorder, "/w/d", 0, G_MAXINT64);
    note_kind(recorder, "/w/e", 0, TRACE_FILE);
    g_autoptr(trace) trace = sealed(recorder);
    static const gint64 ranks[] = { 2, 1, 2, 3, 0 };
    for (guint i = 0; i < G_N_ELEMENTS(ranks); i++)
        g_assert_cmpint(trace_fact(trace, i)->value.time, ==, ranks[i]);
}

static void the_digest_of_a_listing_ignores_its_order(void)
{
    struct trace_name one[] = { { "b", TRACE_FILE }, { "a", TRACE_DIRECTORY } };
    struct trace_name two[] = { { "a", TRACE_DIRECTORY }, { "b", TRACE_FILE } };
    struct trace_name other[] = { { "a", TRACE_FILE }, { "b", TRACE_FILE } };
    struct digest a, b, c, empty;
    trace_names_digest(one, 2, &a);
    trace_names_digest(two, 2, &b);
    trace_names_digest(other, 2, &c);
    trace_names_digest(NULL, 0, &empty);
    g_assert_true(digest_equal(&a, &b));
    g_assert_false(digest_equal(&a, &c));
    g_assert_true(digest_equal(&empty, digest_empty()));
}

/* --- many threads against a model --------------------------------------------------------------
 */

#define PATHS 40
#define NOTES 4000
#define THREADS 4

struct note {
    guint path;
    unsigned aspect;
    guint32 process;
};

/* What each path is, whoever looks. */
static void send_note(struct recorder *recorder, const struct note *note)
{
    g_autofree char *path = g_strdup_printf("/w/d%u/f%u", note->path % 7, note->path);
    guint64 content[] = { note->path, 1 };
    struct digest digest;
    struct trace_stamp stamp = stamp_of(note->path, 1);
    digest_of(content, sizeof content, &digest);
    const struct sight sight = {
        .kind = (enum trace_kind)(note->path % 4), /* nothing, file, directory, link */
        .mode = 0644 + note->path % 2,
        .stamp = note->path % 3 != 0 ? &stamp : NULL,
        .digest = note->path % 3 != 1 ? &digest : NULL,
        .target = "target",
        .time = note->path / 5,
    };
    recorder_note(recorder, path, note->aspect, note->process, &sight);
}

struct share {
    struct recorder *recorder;
    const struct note *notes;
    guint from, to;
};

static void *send_share(void *data)
{
    const struct share *share = data;
    for (guint i = share->from; i < share->to; i++)
        send_note(share->recorder, &share->notes[i]);
    return NULL;
}

static const unsigned possible[] = {
    TRACE_ABSENT,
    TRACE_KIND | TRACE_CONTENT | TRACE_TIME | TRACE_XATTRS,
    TRACE_KIND | TRACE_CONTENT | TRACE_NAMES | TRACE_TIME | TRACE_XATTRS,
    TRACE_KIND | TRACE_TARGET | TRACE_TIME,
};

/* The model: is `process` one of those that noted this aspect of this path, and what did all? */
static unsigned model(const struct note *notes, guint path, unsigned aspect, guint32 process,
                      bool *asked)
{
    unsigned aspects = 0;
    *asked = false;
    for (guint i = 0; i < NOTES; i++) {
        if (notes[i].path != path)
            continue;
        unsigned learned = possible[path % 4] & (notes[i].aspect | TRACE_KIND | TRACE_ABSENT);
        aspects |= learned;
        *asked |= (learned & aspect) != 0 && notes[i].process == process;
    }
    return aspects;
}

static void check_against_model(const struct trace *trace, const struct note *notes)
{
    for (guint path = 0; path < PATHS; path++) {
        g_autofree char *name = g_strdup_printf("d%u/f%u", path % 7, path);
        const struct trace_fact *fact = trace_find(trace, name);
        for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++) {
            bool asked;
            guint32 process = fact == NULL ? 0 : fact->asked[bit];
            unsigned aspects = model(notes, path, 1u << bit, process, &asked);
            g_assert_cmpuint(fact == NULL ? 0 : fact->aspects, ==, aspects);
            g_assert_true(asked == ((aspects & 1u << bit) != 0));
        }
    }
}

static struct trace *record_in_threads(const struct note *notes)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    GThread *threads[THREADS];
    struct share shares[THREADS];
    for (guint i = 0; i < THREADS; i++) {
        shares[i] =
            (struct share){ recorder, notes, NOTES * i / THREADS, NOTES * (i + 1) / THREADS };
        threads[i] = g_thread_new("notes", send_share, &shares[i]);
    }
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    return sealed(recorder);
}

static void assert_same_facts(const struct trace *a, const struct trace *b)
{
    g_assert_cmpuint(trace_fact_count(a), ==, trace_fact_count(b));
    for (size_t i = 0; i < trace_fact_count(a); i++) {
        const struct trace_fact *x = trace_fact(a, i), *y = trace_fact(b, i);
        g_assert_cmpstr(x->path, ==, y->path);
        g_assert_cmpuint(x->aspects, ==, y->aspects);
        assert_same_value(&x->value, &y->value);
    }
}

static void the_strongest_facts_win_whatever_the_order_and_the_threads(void)
{
    for (guint seed = 0; seed < 30; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autofree struct note *notes = g_new(struct note, NOTES);
        guint spread = seed % 2 == 0 ? PATHS : 4000; /* few paths, or mostly new ones */
        for (guint i = 0; i < NOTES; i++)
            notes[i] = (struct note){ (guint)g_rand_int_range(random, 0, (int)spread),
                                      (unsigned)g_rand_int_range(random, 0, 1 << TRACE_ASPECTS),
                                      (guint32)g_rand_int_range(random, 1, 9) };
        g_autoptr(trace) trace = record_in_threads(notes);
        assert_refusal(trace, NULL);
        check_against_model(trace, notes);
        for (guint i = NOTES; i > 1; i--) {
            guint j = (guint)g_rand_int_range(random, 0, (int)i);
            struct note kept = notes[i - 1];
            notes[i - 1] = notes[j];
            notes[j] = kept;
        }
        g_autoptr(trace) again = record_in_threads(notes);
        assert_same_facts(trace, again);
    }
}

static void *register_processes(void *user)
{
    for (guint32 i = 0; i < 500; i++) {
        char *argv[] = { "sh", NULL };
        const struct trace_process process = { .pid = i, .argv = argv, .environment = argv };
        g_autofree char *path = g_strdup_printf("/w/%u", i);
        recorder_write(user, path, recorder_process(user, &process), TRACE_WROTE);
        recorder_uncacheable(user, "reason");
        recorder_unstable(user, path);
    }
    return NULL;
}

static void everything_else_may_be_called_from_many_threads_too(void)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    GThread *threads[THREADS];
    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("processes", register_processes, recorder);
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_process_count(trace), ==, 500 * THREADS);
    g_assert_cmpuint(trace_written_count(trace), ==, 500 * THREADS);
    g_assert_cmpuint(trace_fact_count(trace), ==, 500);
}

/* The limit of text is reached sooner than that of paths, and both have one way out. */
static void what_is_too_much_to_record_is_not_stored(void)
{
    enum {
        LENGTH = 1 << 20
    };
    g_autoptr(recorder) recorder = recorder_new("/w");
    g_autofree char *path = g_strnfill(LENGTH, 'n');
    path[0] = '/';
    for (guint i = 0; i < TRACE_TEXT_MAX / LENGTH; i++) {
        g_snprintf(path + 1, 8, "%07u", i);
        path[8] = 'n';
        note_kind(recorder, path, 0, TRACE_FILE);
    }
    path[1] = 'x';
    note_kind(recorder, path, 0, TRACE_FILE);
    recorder_unstable(recorder, path);
    recorder_write(recorder, path, 0, TRACE_WROTE);
    note_kind(recorder, "/w/another", 0, TRACE_FILE);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_fact_count(trace), ==, TRACE_TEXT_MAX / LENGTH);
    g_assert_cmpuint(trace_written_count(trace), ==, 0);
    assert_refusal(trace, "it looked at too many files");
}

static void what_follows_from_the_key_is_not_recorded(void)
{
    g_autoptr(recorder) recorder = recorder_new("/workspace");
    recorder_except(recorder, "/home/me/checkout");
    note_kind(recorder, "/home/me/checkout", 1, TRACE_LINK);
    note_kind(recorder, "/home/me/checkout2", 1, TRACE_DIRECTORY);
    g_autoptr(trace) trace = sealed(recorder);
    g_assert_cmpuint(trace_fact_count(trace), ==, 1);
    g_assert_cmpstr(trace_fact(trace, 0)->path, ==, "/home/me/checkout2");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {
        { "only-the-strongest-fact-is-kept-per-path", only_the_strongest_fact_is_kept_per_path },
        { "paths-below-the-workspace-are-relative-and-sorted",
          paths_below_the_workspace_are_relative_and_sorted },
        { "what-follows-from-the-key-is-not-recorded", what_follows_from_the_key_is_not_recorded },
        { "a-workspace-may-be-the-root-directory", a_workspace_may_be_the_root_directory },
        { "sealing-asks-for-all-host-files-at-once-by-absolute-path",
          sealing_asks_for_all_host_files_at_once_by_absolute_path },
        { "nothing-but-absence-is-learned-of-what-is-not-there",
          nothing_but_absence_is_learned_of_what_is_not_there },
        { "only-files-and-directories-have-attributes-of-the-user",
          only_files_and_directories_have_attributes_of_the_user },
        { "names-need-not-be-utf8", names_need_not_be_utf8 },
        { "sights-that-disagree-make-a-path-unstable", sights_that_disagree_make_a_path_unstable },
        { "what-was-not-learned-may-change", what_was_not_learned_may_change },
        { "unstable-stays-unstable", unstable_stays_unstable },
        { "a-file-that-is-another-when-sealed-is-unstable",
          a_file_that_is_another_when_sealed_is_unstable },
        { "the-first-reason-not-to-store-wins", the_first_reason_not_to_store_wins },
        { "processes-are-kept-as-they-began", processes_are_kept_as_they_began },
        { "writes-are-kept-per-path-and-writer", writes_are_kept_per_path_and_writer },
        { "of-times-only-their-order-is-kept", of_times_only_their_order_is_kept },
        { "the-digest-of-a-listing-ignores-its-order", the_digest_of_a_listing_ignores_its_order },
        { "the-strongest-facts-win-whatever-the-order-and-the-threads",
          the_strongest_facts_win_whatever_the_order_and_the_threads },
        { "what-is-too-much-to-record-is-not-stored", what_is_too_much_to_record_is_not_stored },
        { "everything-else-may-be-called-from-many-threads-too",
          everything_else_may_be_called_from_many_threads_too },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/trace/recorder/", tests[i].name, NULL);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
