// SPDX-License-Identifier: Apache-2.0
#include "commit-support.h"
#include "session/commit-internal.h"

/* --- the table -------------------------------------------------------------------------------- */

static const char *const states[] = { NULL, "p=1", "p*=1", "p=2", "p->x", "p->y", "p/" };

/* What must lie there afterwards, and whether a conflict is reported. `output` NULL: deleted. */
static const char *oracle(const char *captured, const char *present, const char *output,
                          bool *conflict)
{
    *conflict = false;
    if (g_strcmp0(captured, output) == 0 || g_strcmp0(present, output) == 0)
        return present;
    if (present == NULL || g_strcmp0(captured, present) == 0)
        return output;
    *conflict = true;
    return present;
}

static void clear_ground(struct ground *ground)
{
    LAY(ground->workspace, "-p");
    LAY(ground->from, "-p");
}

static void one_row(struct ground *ground, const char *captured, const char *present,
                    const char *output, bool from_store)
{
    struct run run;
    bool conflict;
    const char *expected = oracle(captured, present, output, &conflict);
    g_test_message("captured %s, present %s, output %s, %s", captured, present, output,
                   from_store ? "stored" : "fresh");
    if (captured != NULL)
        LAY(ground->workspace, captured);
    run_init(&run, ground, NULL);
    run.from_store = from_store;
    if (g_strcmp0(captured, present) != 0) {
        LAY(ground->workspace, "-p");
        if (present != NULL)
            LAY(ground->workspace, present);
    }
    if (output != NULL)
        LAY(ground->from, output);
    else
        delete_input(&run, "p");
    finish_well(&run);
    if (expected != NULL)
        assert_disk(ground->workspace, expected);
    else
        assert_disk(ground->workspace);
    g_assert_cmpstr(reported(&run), ==, conflict ? "conflict p\n" : "");
    g_assert_cmpuint(run.commit.kept, ==, conflict);
    run_release(&run);
    clear_ground(ground);
}

static void every_meeting_of_states(void)
{
    struct ground ground;
    ground_init(&ground);
    for (size_t captured = 0; captured < G_N_ELEMENTS(states); captured++)
        for (size_t present = 0; present < G_N_ELEMENTS(states); present++)
            for (size_t output = 0; output < G_N_ELEMENTS(states); output++)
                for (int from_store = 0; from_store < 2; from_store++)
                    if (states[captured] != NULL || states[output] != NULL)
                        one_row(&ground, states[captured], states[present], states[output],
                                from_store);
    ground_release(&ground);
}

/* Where capture did not look, the time tells whether the user was there. */
static void one_uncovered_row(struct ground *ground, const char *present, const char *output,
                              bool late)
{
    struct run run;
    g_autoptr(glob) nothing = glob_new();
    bool equal = g_strcmp0(present, output) == 0;
    bool conflict = late && present != NULL && !equal;
    g_test_message("present %s, output %s, %s", present, output, late ? "late" : "early");
    g_assert_true(glob_add_path(nothing, "elsewhere", false, NULL));
    if (present != NULL && !late)
        LAY(ground->workspace, present);
    run_init(&run, ground, nothing);
    if (present != NULL && late) {
        next_tick();
        LAY(ground->workspace, present);
    }
    LAY(ground->from, output);
    finish_well(&run);
    assert_disk(ground->workspace, conflict ? present : output);
    g_assert_cmpstr(reported(&run), ==, conflict ? "conflict p\n" : "");
    run_release(&run);
    clear_ground(ground);
}

static void every_meeting_where_capture_did_not_look(void)
{
    struct ground ground;
    ground_init(&ground);
    for (size_t present = 0; present < G_N_ELEMENTS(states); present++)
        for (size_t output = 1; output < G_N_ELEMENTS(states); output++)
            for (int late = 0; late < 2; late++)
                one_uncovered_row(&ground, states[present], states[output], late);
    ground_release(&ground);
}

/* --- what is counted -------------------------------------------------------------------------- */

static void files_and_links_are_counted(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "same=1", "old=1", "gone=1", "dir/gone=1", "mine=1");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "mine=2");
    LAY(ground.from, "same=1", "old=2", "new=1", "d/link->x", "e/", "mine=3");
    delete_input(&run, "dir");
    delete_input(&run, "dir/gone");
    delete_input(&run, "gone");
    finish_well(&run);
    g_assert_cmpuint(run.commit.written, ==, 3);
    g_assert_cmpuint(run.commit.unchanged, ==, 1);
    g_assert_cmpuint(run.commit.deleted, ==, 2);
    g_assert_cmpuint(run.commit.kept, ==, 1);
    assert_disk(ground.workspace, "same=1", "old=2", "new=1", "d/link->x", "e/", "mine=2");
    run_release(&run);
    ground_release(&ground);
}

/* --- deletions and leftovers ------------------------------------------------------------------ */

static void deletions_go_deepest_first_and_leave_what_is_mine(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "a/b/c=1", "a/b-=1", "a/d/e=1", "f/g/h=1", "a.x=1");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "a/d/mine=1", "f/g/h=mine");
    static const char *const paths[] = { "a",   "a.x",   "a/b", "a/b-", "a/b/c",
                                         "a/d", "a/d/e", "f",   "f/g",  "f/g/h" };
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        delete_input(&run, paths[i]);
    finish_well(&run);
    assert_disk(ground.workspace, "a/d/mine=1", "f/g/h=mine");
    g_assert_cmpstr(reported(&run), ==, "conflict f/g/h\n");
    run_release(&run);
    ground_release(&ground);
}

static void leftovers_go_and_changes_go_back_after_success(void)
{
    for (int failed = 0; failed < 2; failed++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        LAY(ground.workspace, "src=1", "left=1", "d/left=1", "d/mine=1", "e/f/left=1", "kept=1",
            "changed=new", "touched=new");
        run_init(&run, &ground, NULL);
        g_autoptr(tree) inputs = TREE("src=1", "d/mine=1", "changed=old", "back->x", "touched=old");
        g_autoptr(store_batch) batch = store_batch_new(ground.store);
        struct digest ignored;
        g_assert_true(store_batch_put(batch, "old", 3, &ignored, NULL));
        g_assert_true(store_batch_commit(batch, NULL));
        run.commit.inputs = inputs;
        run.result->exit_code = failed;
        LAY(ground.workspace, "touched=mine");
        LAY(ground.from, "kept=2");
        finish_well(&run);
        if (failed)
            assert_disk(ground.workspace, "src=1", "left=1", "d/left=1", "d/mine=1", "e/f/left=1",
                        "kept=2", "changed=new", "touched=mine");
        else
            assert_disk(ground.workspace, "src=1", "d/mine=1", "kept=2", "changed=old", "back->x",
                        "touched=mine");
        g_assert_cmpstr(reported(&run), ==, failed ? "" : "conflict touched\n");
        run_release(&run);
        ground_release(&ground);
    }
}

static void what_the_command_deleted_does_not_come_back(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "src=1", "changed=new");
    run_init(&run, &ground, NULL);
    g_autoptr(tree) inputs = TREE("src=1", "changed=old", "gone=1");
    run.commit.inputs = inputs;
    delete_input(&run, "changed");
    delete_input(&run, "gone");
    finish_well(&run);
    assert_disk(ground.workspace, "src=1");
    run_release(&run);
    ground_release(&ground);
}

/* --- nothing half done ------------------------------------------------------------------------ */

static void an_unreadable_source_leaves_nothing_behind(void)
{
    for (int from_store = 0; from_store < 2; from_store++) {
        struct ground ground;
        struct run run;
        ground_init(&ground);
        LAY(ground.workspace, "b=old");
        run_init(&run, &ground, NULL);
        run.from_store = from_store;
        LAY(ground.from, "a=1", "b=new", "c=3", "d/e=5");
        run.outputs = capture_tree(ground.from, NULL, from_store ? NULL : ground.store);
        run.commit.outputs = run.outputs;
        run.commit.result = run.result;
        run.commit.source = from_store ? -1 : ground.from;
        LAY(ground.from, "-b", "-d");
        if (from_store) {
            g_autoptr(tree) rest = capture_tree(ground.from, NULL, ground.store);
            g_assert_nonnull(rest);
        }
        g_assert_false(commit_outputs(&run.commit, &run.error));
        g_assert_error(run.error, FAULT, (int)(from_store ? FAULT_MISSING : FAULT_IO));
        g_assert_nonnull(strstr(run.error->message, "b"));
        if (from_store) /* where that is known before anything is written */
            assert_disk(ground.workspace, "b=old");
        else
            assert_disk(ground.workspace, "a=1", "b=old", "c=3", "d/");
        run_release(&run);
        ground_release(&ground);
    }
}

/* A name cannot forge a line of the message. */
static void errors_quote_the_path(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    run_init(&run, &ground, NULL);
    LAY(ground.from, "a\nb=1");
    run.outputs = capture_tree(ground.from, NULL, ground.store);
    run.commit.outputs = run.outputs;
    run.commit.result = run.result;
    run.commit.source = ground.workspace;
    g_assert_false(commit_outputs(&run.commit, &run.error));
    g_assert_nonnull(strstr(run.error->message, "\"a\\nb\""));
    g_assert_null(strchr(run.error->message, '\n'));
    run_release(&run);
    ground_release(&ground);
}

/* A source that is shorter than the tree says: somebody is still writing to it. */
static void a_short_source_leaves_nothing_behind(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "a=old");
    run_init(&run, &ground, NULL);
    LAY(ground.from, "a=new content");
    run.outputs = capture_tree(ground.from, NULL, ground.store);
    LAY(ground.from, "a=new");
    run.commit.outputs = run.outputs;
    run.commit.result = run.result;
    run.commit.source = ground.from;
    g_assert_false(commit_outputs(&run.commit, &run.error));
    g_assert_error(run.error, FAULT, FAULT_CHANGED);
    assert_disk(ground.workspace, "a=old");
    run_release(&run);
    ground_release(&ground);
}

static void give_away(const struct ground *ground)
{
    g_autofree char *command = g_strdup_printf("chown -R 65534:65534 '%s'", ground->scratch);
    g_assert_cmpint(system(command), ==, 0);
}

/* Root may write everywhere, so what depends on permission is tried as somebody else. */
static void be_ordinary(const struct ground *ground)
{
    if (geteuid() != 0)
        return;
    give_away(ground);
    g_assert_cmpint(setegid(65534), ==, 0);
    g_assert_cmpint(seteuid(65534), ==, 0);
}

static void be_oneself(void)
{
    if (getuid() == 0) {
        g_assert_cmpint(seteuid(0), ==, 0);
        g_assert_cmpint(setegid(0), ==, 0);
    }
}

static void a_directory_of_mine_that_cannot_be_written_stays_so(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "d/a=old", "d/gone=1");
    g_assert_cmpint(fchmodat(ground.workspace, "d", 0555, 0), ==, 0);
    run_init(&run, &ground, NULL);
    LAY(ground.from, "d/a=new", "d/b=1", "d/l->x", "e=1");
    extra_of(&run, "d", 0755, 0);
    delete_input(&run, "d/gone");
    be_ordinary(&ground);
    bool ok = finish(&run);
    be_oneself();
    g_assert_false(ok);
    g_assert_error(run.error, FAULT, FAULT_IO);
    assert_disk(ground.workspace, "d/a=old", "d/gone=1", "e=1");
    g_assert_cmpuint(status_of(ground.workspace, "d").st_mode & 07777, ==, 0555);
    g_assert_cmpint(fchmodat(ground.workspace, "d", 0755, 0), ==, 0);
    run_release(&run);
    ground_release(&ground);
}

/* The same command twice: `go mod download` makes its cache read-only. */
static void a_directory_that_the_command_closed_can_be_filled_again(void)
{
    struct ground ground;
    ground_init(&ground);
    be_ordinary(&ground);
    for (int round = 0; round < 2; round++) {
        struct run run;
        run_init(&run, &ground, NULL);
        g_autofree char *line = g_strdup_printf("d/e/f=%d", round);
        LAY(ground.from, line);
        extra_of(&run, "d", 0555, 0);
        extra_of(&run, "d/e", 0500, 0);
        g_autoptr(tree) inputs = tree_empty();
        run.commit.inputs = inputs;
        if (round == 0)
            LAY(ground.workspace, "d/");
        finish(&run);
        g_assert_no_error(run.error);
        assert_disk(ground.workspace, line);
        g_assert_cmpuint(status_of(ground.workspace, "d").st_mode & 07777, ==, 0555);
        g_assert_cmpuint(status_of(ground.workspace, "d/e").st_mode & 07777, ==, 0500);
        run_release(&run);
    }
    be_oneself();
    ground_release(&ground);
}

/* --- nothing outside -------------------------------------------------------------------------- */

static void a_planted_link_leads_nowhere(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    g_autofree char *outside = g_build_filename(ground.scratch, "outside", NULL);
    g_autofree char *planted = g_strconcat("d->", outside, NULL);
    g_autofree char *deeper = g_strconcat("e/f->", outside, NULL);
    LAY(ground.outside, "mine=1", "gone=1", "sub/");
    LAY(ground.workspace, "d/gone=1", "e/f/sub/gone=1");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "-d", "-e/f", planted, deeper);
    LAY(ground.from, "d/mine=2", "d/new/x=1", "e/f/sub/y=1", "e/f/l->z", "h=1");
    extra_of(&run, "d/fifo", 0644, 0)->fifo = true;
    struct output_extra *extra = extra_of(&run, "h", 0644, 0);
    extra->hard_link = g_strdup("d/mine");
    delete_input(&run, "d/gone");
    delete_input(&run, "e/f/sub");
    delete_input(&run, "e/f/sub/gone");
    finish_well(&run);
    assert_disk(ground.outside, "mine=1", "gone=1", "sub/");
    assert_disk(ground.workspace, planted, deeper, "h=1");
    g_assert_cmpuint(status_of(ground.workspace, "h").st_nlink, ==, 1);
    g_assert_cmpuint(run.commit.kept, >=, 4);
    run_release(&run);
    ground_release(&ground);
}

static void a_link_is_replaced_and_not_written_through(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    g_autofree char *target = g_build_filename(ground.scratch, "outside", "mine", NULL);
    g_autofree char *link = g_strconcat("out->", target, NULL);
    LAY(ground.outside, "mine=1");
    LAY(ground.workspace, link);
    run_init(&run, &ground, NULL);
    LAY(ground.from, "out=2");
    finish_well(&run);
    assert_disk(ground.outside, "mine=1");
    assert_disk(ground.workspace, "out=2");
    run_release(&run);
    ground_release(&ground);
}

static void what_lies_below_a_file_of_mine_is_kept_back(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "d=mine");
    LAY(ground.from, "d/a=1", "d/b/c=1", "e=1");
    finish_well(&run);
    assert_disk(ground.workspace, "d=mine", "e=1");
    g_assert_nonnull(strstr(reported(&run), "conflict d\n"));
    g_assert_nonnull(strstr(reported(&run), "conflict d/a\n"));
    run_release(&run);
    ground_release(&ground);
}

static void a_directory_with_files_of_mine_is_not_replaced(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    LAY(ground.workspace, "d/theirs=1");
    run_init(&run, &ground, NULL);
    LAY(ground.workspace, "d/mine=1");
    LAY(ground.from, "d=file");
    delete_input(&run, "d/theirs");
    finish_well(&run);
    assert_disk(ground.workspace, "d/mine=1");
    g_assert_cmpstr(reported(&run), ==, "conflict d\n");
    run_release(&run);
    ground_release(&ground);
}

/* --- a repository that the command did not see ------------------------------------------------ */

static void commit_git(struct ground *ground, bool named)
{
    struct run run;
    g_autoptr(glob) select = glob_new();
    g_assert_true(glob_add(select, "", "!.git", NULL));
    run_init(&run, ground, select);
    run.commit.git_named = named;
    LAY(ground->from, ".git/HEAD=main", ".git/new=1", ".git/config=new", "a=1");
    extra_of(&run, ".git/fifo", 0644, 0)->fifo = true;
    finish_well(&run);
    run_release(&run);
}

static void a_repository_that_it_did_not_see_is_not_replaced(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, ".git/HEAD=main", ".git/config=mine", ".gitignore=1");
    commit_git(&ground, false);
    assert_disk(ground.workspace, ".git/HEAD=main", ".git/config=mine", ".gitignore=1", "a=1");
    g_assert_cmpstr(ground.noted.text->str, ==, "conflict .git\n");
    g_assert_cmpint(faccessat(ground.workspace, ".git/fifo", F_OK, 0), <, 0);
    commit_git(&ground, true);
    assert_disk(ground.workspace, ".git/HEAD=main", ".git/config=new", ".git/new=1", ".gitignore=1",
                "a=1");
    ground_release(&ground);
}

static void a_new_repository_appears_and_is_then_mine(void)
{
    struct ground ground;
    ground_init(&ground);
    LAY(ground.workspace, "sub/x=1");
    LAY(ground.from, "sub/.git/HEAD=main");
    commit_git(&ground, false);
    assert_disk(ground.workspace, "sub/x=1", "sub/.git/HEAD=main", ".git/HEAD=main",
                ".git/config=new", ".git/new=1", "a=1");
    g_assert_cmpstr(ground.noted.text->str, ==, "");
    LAY(ground.workspace, ".git/HEAD=branch");
    commit_git(&ground, false);
    assert_disk(ground.workspace, "sub/x=1", "sub/.git/HEAD=main", ".git/HEAD=branch",
                ".git/config=new", ".git/new=1", "a=1");
    g_assert_cmpstr(ground.noted.text->str, ==, "conflict .git\n");
    ground_release(&ground);
}

static void the_store_is_not_written_to(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    g_autoptr(glob) select = glob_new();
    g_assert_true(glob_add_path(select, ".cache/vial", true, NULL));
    ground.session.own[0] = g_strdup(".cache/vial");
    LAY(ground.workspace, ".cache/vial/index=1");
    run_init(&run, &ground, select);
    LAY(ground.from, ".cache/vial/index=2", ".cache/vial/x=1", ".cache/other=1", ".cache/vial2=1");
    finish_well(&run);
    assert_disk(ground.workspace, ".cache/vial/index=1", ".cache/other=1", ".cache/vial2=1");
    g_assert_cmpstr(reported(&run), ==, "conflict .cache/vial\n");
    run_release(&run);
    ground_release(&ground);
}

/* --- between the look and the move ------------------------------------------------------------ */

static void what_changed_since_the_look_is_not_replaced(void)
{
    static const char *const before[] = { "p=1", NULL, "p=1" };
    static const char *const after[] = { "p=2", "p=2", "p->x" };
    for (size_t i = 0; i < G_N_ELEMENTS(before); i++) {
        struct ground ground;
        struct present present;
        g_autoptr(GError) error = NULL;
        ground_init(&ground);
        if (before[i] != NULL)
            LAY(ground.workspace, before[i]);
        LAY(ground.from, "p=3");
        present_look(ground.workspace, "p", NULL, &present);
        LAY(ground.workspace, after[i]);
        struct place place = { ground.workspace, "p", "p", "p", &present };
        struct tree_entry entry = { .kind = TREE_FILE, .digest = { .size = 1 } };
        const struct dress dress = { .mode = 0644 };
        g_assert_false(place_file(&place, ground.from, &entry, &dress, &error));
        g_assert_error(error, FAULT, FAULT_CONFLICT);
        g_clear_error(&error);
        g_assert_false(place_symlink(&place, "target", 0, &error));
        g_assert_error(error, FAULT, FAULT_CONFLICT);
        assert_disk(ground.workspace, after[i]);
        ground_release(&ground);
    }
}

/* --- many ------------------------------------------------------------------------------------- */

static void a_deep_and_wide_tree_arrives_whole(void)
{
    struct ground ground;
    struct run run;
    ground_init(&ground);
    run_init(&run, &ground, NULL);
    for (int i = 0; i < 500; i++) {
        g_autofree char *line = g_strdup_printf("w%d/f=%d", i % 50, i);
        g_autofree char *other = g_strdup_printf("w%d/%d*=%d", i % 50, i, i);
        LAY(ground.from, line, other);
    }
    g_autoptr(GString) deep = g_string_new("d");
    for (int i = 0; i < 100; i++)
        g_string_append(deep, "/d");
    g_string_append(deep, "/f=1");
    LAY(ground.from, deep->str);
    finish_well(&run);
    g_autoptr(tree) found = capture_tree(ground.workspace, NULL, NULL);
    assert_same_tree(found, run.outputs);
    run_release(&run);
    ground_release(&ground);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *path;
        void (*function)(void);
    } tests[] = {
        { "/commit/table/captured-present-output", every_meeting_of_states },
        { "/commit/table/where-capture-did-not-look", every_meeting_where_capture_did_not_look },
        { "/commit/counts/files-and-links", files_and_links_are_counted },
        { "/commit/deletions/deepest-first-and-not-what-is-mine",
          deletions_go_deepest_first_and_leave_what_is_mine },
        { "/commit/leftovers/go-after-success-alone",
          leftovers_go_and_changes_go_back_after_success },
        { "/commit/leftovers/what-was-deleted-does-not-come-back",
          what_the_command_deleted_does_not_come_back },
        { "/commit/atomic/unreadable-source-leaves-nothing-behind",
          an_unreadable_source_leaves_nothing_behind },
        { "/commit/errors/quote-the-path", errors_quote_the_path },
        { "/commit/atomic/short-source-leaves-nothing-behind",
          a_short_source_leaves_nothing_behind },
        { "/commit/atomic/what-changed-since-the-look-is-not-replaced",
          what_changed_since_the_look_is_not_replaced },
        { "/commit/closed/directory-of-mine-stays-closed",
          a_directory_of_mine_that_cannot_be_written_stays_so },
        { "/commit/closed/directory-of-the-command-can-be-filled-again",
          a_directory_that_the_command_closed_can_be_filled_again },
        { "/commit/outside/planted-link-leads-nowhere", a_planted_link_leads_nowhere },
        { "/commit/outside/link-is-replaced-not-written-through",
          a_link_is_replaced_and_not_written_through },
        { "/commit/kept/what-lies-below-a-file-of-mine",
          what_lies_below_a_file_of_mine_is_kept_back },
        { "/commit/kept/directory-with-files-of-mine",
          a_directory_with_files_of_mine_is_not_replaced },
        { "/commit/unseen/repository-is-not-replaced",
          a_repository_that_it_did_not_see_is_not_replaced },
        { "/commit/unseen/new-repository-appears-once", a_new_repository_appears_and_is_then_mine },
        { "/commit/unseen/store-is-not-written-to", the_store_is_not_written_to },
        { "/commit/many/deep-and-wide-tree-arrives-whole", a_deep_and_wide_tree_arrives_whole },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add_func(tests[i].path, tests[i].function);
    return g_test_run();
}
