// SPDX-License-Identifier: Apache-2.0
/* What the command finds in its workspace, and what is taken from there afterwards. */
#include "sandbox-support.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

static const struct output_extra *find_extra(const struct box *box, const char *path)
{
    const GPtrArray *extras = box->execution.result->extras;
    for (guint i = 0; i < extras->len; i++) {
        const struct output_extra *extra = extras->pdata[i];
        if (strcmp(extra->path, path) == 0)
            return extra;
    }
    g_error("nothing beside the tree about %s", path);
}

static void assert_strings(char **found, const char *expected)
{
    g_autofree char *joined = found == NULL ? g_strdup("") : g_strjoinv(" ", found);
    g_assert_cmpstr(joined, ==, expected);
}

/* --- inputs ----------------------------------------------------------------------------------- */

static void inputs_are_there_as_the_tree_says(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "file=text\n", "dir/run*=#!/bin/sh\necho ran\n", "dir/link->../file", "empty/",
               "dangling->nowhere");
    box_pass(box, "cat dir/link && dir/run && readlink dangling && rmdir empty && mkdir empty &&\n"
                  "stat -c '%a %Y %u' file dir/run && find . | sort | tr '\\n' ' '");
    g_autofree char *owner =
        g_strdup_printf("%u", test_level == SANDBOX_NAMESPACES ? 1000 : (unsigned)geteuid());
    g_autofree char *expected =
        g_strdup_printf("text\nran\nnowhere\n644 946684800 %s\n755 946684800 %s\n"
                        ". ./dangling ./dir ./dir/link ./dir/run ./empty ./file ",
                        owner, owner);
    g_assert_cmpstr(box->out->str, ==, expected);
    g_assert_cmpint((gint)tree_size(box->execution.outputs), ==, 0);
}

static void inputs_can_be_changed_in_place(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *big = g_strnfill(1 << 20, 'x');
    g_autofree char *line = g_strconcat("big=", big, NULL);
    box_inputs(box, "small=text", line);
    box_pass(box,
             "(echo more >> small) && cp big other && rm big && mv other big && echo y >> big");
    g_assert_nonnull(tree_lookup(box->execution.outputs, "small"));
    g_assert_nonnull(tree_lookup(box->execution.outputs, "big"));
}

/* Whoever runs it, and however the store keeps them. */
static void large_inputs_are_the_command_s_own(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *path = g_strconcat(box->scratch, "/store", NULL);
    g_autofree char *big = g_strnfill(8 << 20, 'x');
    g_autofree char *line = g_strconcat("big*=", big, NULL);
    g_autoptr(GError) error = NULL;
    store_batch_free(box->batch);
    store_close(box->store);
    box->request.store = box->store = store_open(path, NULL, NULL, &error);
    g_assert_no_error(error);
    box->request.batch = box->batch = store_batch_new(box->store);
    box_inputs(box, line);
    box_pass(box, "touch big && chmod 644 big && echo more >> big && cp big copy && echo >> copy");
    struct digest digest;
    digest_of(big, strlen(big), &digest);
    g_autoptr(GBytes) stored = store_get(box->store, &digest, &error); /* is verified */
    g_assert_no_error(error);
    g_assert_cmpint(tree_lookup(box->execution.outputs, "big")->digest.size, ==, (8 << 20) + 5);
}

static void lost_inputs_are_named(void)
{
    g_autoptr(box) box = box_new();
    tree_unref(box->action->inputs);
    box->action->inputs = TREE("dir/lost=this was never stored");
    box_set_argv(box, (const char *const[]){ "true", NULL });
    g_assert_false(box_try(box));
    g_assert_error(box->error, FAULT, FAULT_MISSING);
}

/* --- all outputs ------------------------------------------------------------------------------ */

static void all_that_changed_is_output(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "same=1", "touched=2", "rewritten=3", "changed=4", "mode=5", "kind=6",
               "dir/deep/gone=7", "dir/deep-er=8", "dir/stays=9", "link->same");
    box_pass(box, "touch touched; cp rewritten x; cat x > rewritten; rm x; echo 44 > changed;\n"
                  "chmod +x mode; rm kind; mkdir kind; echo > kind/in; rm -r dir/deep*;\n"
                  "ln -sf changed link; mkdir -p new/empty; ln -s /absolute new/l; echo n > new/f");
    assert_tree(box->execution.outputs, "changed=44\n", "mode*=5", "kind/in=\n", "link->changed",
                "new/empty/", "new/l->/absolute", "new/f=n\n");
    g_assert_true(
        digest_equal(tree_digest(box->execution.outputs), &box->execution.result->outputs));
    assert_strings(box->execution.result->deleted, "dir/deep dir/deep-er dir/deep/gone");
    g_assert_null(box->execution.result->missing);
    g_assert_null(box->execution.result->uncacheable);
}

static void directory_that_became_a_file_loses_its_content(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "dir/a=1", "dir/b=2");
    box_pass(box, "rm -r dir; echo file > dir");
    assert_tree(box->execution.outputs, "dir=file\n");
    assert_strings(box->execution.result->deleted, "dir/a dir/b");
}

static void outputs_are_stored(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "mkdir d; echo content > d/f");
    g_assert_true(store_batch_commit(box->batch, NULL));
    g_autoptr(GError) error = NULL;
    g_autoptr(tree) loaded = store_get_tree(box->store, &box->execution.result->outputs, &error);
    g_assert_no_error(error);
    g_assert_true(store_has_tree(box->store, loaded, &error));
    assert_tree(loaded, "d/f=content\n");
}

static void outputs_of_a_failure_are_kept(void)
{
    g_autoptr(box) box = box_new();
    struct result *result = box_run(box, "echo log > log; exit 1");
    g_assert_cmpint(result->exit_code, ==, 1);
    assert_tree(box->execution.outputs, "log=log\n");
}

static void outputs_lie_as_files_until_the_end(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "echo content > file");
    autofd int file = openat(box->execution.directory, "file", O_RDONLY | O_CLOEXEC);
    char text[16] = "";
    g_assert_cmpint(read(file, text, sizeof text), ==, 8);
    g_assert_cmpstr(text, ==, "content\n");
    g_assert_cmpint(box_leftovers(box), ==, 1);
    execution_clear(&box->execution);
    g_assert_cmpint(box_leftovers(box), ==, 0);
}

/* --- declared outputs --------------------------------------------------------------------------
 */

static void declared_outputs_alone_are_taken(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "in=1", "out/old.o=2", "out/stale.o=3", "out/keep.c=4");
    box_outputs(box, "/bin/tool", "/docs", "/missing", "out/*.o", "!out/secret.o");
    box_pass(box, "echo t > bin/tool; mkdir docs; echo d > docs/d; echo o > out/new.o; "
                  "echo s > out/secret.o; rm out/stale.o out/keep.c in; echo x > extra");
    assert_tree(box->execution.outputs, "bin/tool=t\n", "docs/d=d\n", "out/old.o=2",
                "out/new.o=o\n");
    assert_strings(box->execution.result->deleted, "out/stale.o");
    assert_strings(box->execution.result->missing, "missing");
}

static void missing_globs_are_told(void)
{
    g_autoptr(box) box = box_new();
    box_outputs(box, "**/*.o", "/a\\*b", "lib/*.so");
    box_pass(box, "test -d lib; echo > x.c");
    assert_strings(box->execution.result->missing, "**/*.o a*b lib/*.so");
    g_assert_cmpint((gint)tree_size(box->execution.outputs), ==, 0);
}

static void parents_of_declared_outputs_exist(void)
{
    g_autoptr(box) box = box_new();
    box_outputs(box, "/a/b/c.o", "deep/er/*.x");
    box_pass(box, "echo > a/b/c.o; echo > deep/er/y.x");
    assert_tree(box->execution.outputs, "a/b/c.o=\n", "deep/er/y.x=\n");
}

/* A link among the inputs must not lead vial, who may be root, out of the workspace. */
static void links_lead_vial_nowhere(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *outside = g_strconcat(box->scratch, "/outside", NULL);
    g_autofree char *link = g_strconcat("link->", outside, NULL);
    g_assert_cmpint(g_mkdir(outside, 0777), ==, 0);
    box_inputs(box, link);
    box_outputs(box, "/link/made/file");
    g_free(box->action->directory);
    box->action->directory = g_strdup("");
    box_run(box, "true");
    g_autofree char *made = g_strconcat(outside, "/made", NULL);
    g_assert_false(g_file_test(made, G_FILE_TEST_EXISTS));
}

/* --- hostile states ----------------------------------------------------------------------------
 */

static void locked_directories_are_read_all_the_same(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box,
             "mkdir -p d/e; echo 1 > d/e/f; echo 2 > g; echo 3 > h; chmod 0 g d/e d; chmod 0 .");
    assert_tree(box->execution.outputs, "d/e/f=1\n", "g=2\n", "h=3\n");
    g_assert_cmpuint(find_extra(box, "g")->mode, ==, 0);
    g_assert_cmpuint(find_extra(box, "d")->mode, ==, 0);
    g_assert_cmpuint(find_extra(box, "d/e")->mode, ==, 0);
    g_assert_cmpuint(find_extra(box, "h")->mode, ==, 0644);
    g_assert_null(box->execution.result->uncacheable);
}

static void workspace_emptied_under_its_feet_is_no_error(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "a=1", "d/b=2");
    g_free(box->action->directory);
    box->action->directory = g_strdup("d");
    box_run(box, "rm -rf ../* ../.[!.]*; echo gone");
    g_assert_cmpstr(box->out->str, ==, "gone\n");
    assert_strings(box->execution.result->deleted, "a d d/b");
    g_assert_cmpint((gint)tree_size(box->execution.outputs), ==, 0);
}

static void strange_names_survive(void)
{
    g_autoptr(box) box = box_new();
    box_inputs(box, "in\nput=1", "sp ace=2", "quo\"te=3");
    box_pass(box, "test $(ls -1U | wc -l) = 4 && echo 4 > 'new\nline' && rm 'in\nput' && "
                  "echo 5 > 'st*r'");
    assert_tree(box->execution.outputs, "new\nline=4\n", "st*r=5\n");
    assert_strings(box->execution.result->deleted, "in\nput");
}

static void what_cannot_be_stored_makes_uncacheable(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "echo > $(printf 'bad\\377name'); echo > good");
    assert_tree(box->execution.outputs, "good=\n");
    g_assert_nonnull(box->execution.result->uncacheable);
    g_assert_nonnull(strstr(box->execution.result->uncacheable, "UTF-8"));
    box_outputs(box, "/good");
    box_pass(box, "echo > $(printf 'bad\\377name'); echo > good");
    g_assert_null(box->execution.result->uncacheable);
}

static void sockets_make_uncacheable(void)
{
    g_autoptr(box) box = box_new();
    box_run(box, "perl -e 'use IO::Socket::UNIX; IO::Socket::UNIX->new(Local => \"sock\", "
                 "Listen => 1) or die'");
    g_assert_cmpint(box->execution.result->exit_code, ==, 0);
    g_assert_nonnull(strstr(box->execution.result->uncacheable, "sock"));
}

static void depth_has_no_limit(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "perl -e '$n = \"0\" x 100; for (1..60) { mkdir $n; chdir $n or die } "
                  "open F, \">file\" or die'");
    const struct tree *at = box->execution.outputs;
    int depth = 0;
    for (; tree_at(at, 0)->kind == TREE_DIRECTORY; at = tree_at(at, 0)->directory)
        depth++;
    g_assert_cmpint(depth, ==, 60);
    g_assert_cmpstr(tree_at(at, 0)->name, ==, "file");
    g_assert_null(box->execution.result->uncacheable);
}

/* --- what a tree cannot hold -------------------------------------------------------------------
 */

static void modes_times_and_links_stand_beside_the_tree(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "echo > f; chmod 640 f; touch -d '2001-02-03 04:05:06.789 UTC' f; mkdir d; "
                  "chmod 2750 d; echo > d/one; ln d/one d/two; ln d/one a; ln -s f l");
    const struct output_extra *file = find_extra(box, "f");
    g_assert_cmpuint(file->mode, ==, 0640);
    g_assert_cmpint(file->mtime, ==, G_GINT64_CONSTANT(981173106789000000));
    g_assert_cmpuint(find_extra(box, "d")->mode, ==, 02750);
    g_assert_null(find_extra(box, "a")->hard_link);
    g_assert_cmpstr(find_extra(box, "d/one")->hard_link, ==, "a");
    g_assert_cmpstr(find_extra(box, "d/two")->hard_link, ==, "a");
    g_assert_false(file->sparse);
    find_extra(box, "l");
}

static void fifos_are_noted_and_no_obstacle(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "mkdir d; mkfifo -m 620 d/pipe 'o\"dd\n'; echo > f");
    assert_tree(box->execution.outputs, "d/", "f=\n");
    g_assert_true(find_extra(box, "d/pipe")->fifo);
    g_assert_cmpuint(find_extra(box, "d/pipe")->mode, ==, 0620);
    g_assert_true(find_extra(box, "o\"dd\n")->fifo);
    g_assert_null(box->execution.result->uncacheable);
}

static void holes_are_noted(void)
{
    g_autoptr(box) box = box_new();
    box_pass(box, "truncate -s 1M holes; head -c 65536 /dev/urandom > solid");
    g_assert_true(find_extra(box, "holes")->sparse);
    g_assert_false(find_extra(box, "solid")->sparse);
}

static void attributes_are_noted_where_there_are_any(void)
{
    g_autoptr(box) box = box_new();
    g_autofree char *probe = g_strconcat(box->scratch, "/probe", NULL);
    g_assert_true(g_file_set_contents(probe, "", 0, NULL));
    if (setxattr(probe, "user.a", "1", 1, 0) < 0)
        return; /* the file system has none */
    box_pass(box, "echo > f; perl -e '($f, $n, $v) = (\"f\", \"user.color\", \"red\");"
                  "syscall(188, $f, $n, $v, 3, 0) == 0 or die'");
#ifdef __x86_64__
    gsize size;
    const guint8 *data = g_bytes_get_data(find_extra(box, "f")->xattrs, &size);
    g_assert_true(size == 19 && memcmp(data, "\x0a\x11\x0a\x0auser.color\x12\x03red", size) == 0);
#endif
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define P "/sandbox/files/"
    add_everywhere(P "inputs-are-there-as-the-tree-says", inputs_are_there_as_the_tree_says);
    add_everywhere(P "inputs-can-be-changed-in-place", inputs_can_be_changed_in_place);
    add_everywhere(P "large-inputs-are-the-command's-own", large_inputs_are_the_command_s_own);
    add_everywhere(P "lost-inputs-are-named", lost_inputs_are_named);
    add_everywhere(P "all-that-changed-is-output", all_that_changed_is_output);
    add_everywhere(P "directory-that-became-a-file-loses-its-content",
                   directory_that_became_a_file_loses_its_content);
    add_everywhere(P "outputs-are-stored", outputs_are_stored);
    add_everywhere(P "outputs-of-a-failure-are-kept", outputs_of_a_failure_are_kept);
    add_everywhere(P "outputs-lie-as-files-until-the-end", outputs_lie_as_files_until_the_end);
    add_everywhere(P "declared-outputs-alone-are-taken", declared_outputs_alone_are_taken);
    add_everywhere(P "missing-globs-are-told", missing_globs_are_told);
    add_everywhere(P "parents-of-declared-outputs-exist", parents_of_declared_outputs_exist);
    add_everywhere(P "links-lead-vial-nowhere", links_lead_vial_nowhere);
    add_everywhere(P "locked-directories-are-read-all-the-same",
                   locked_directories_are_read_all_the_same);
    add_everywhere(P "workspace-emptied-under-its-feet-is-no-error",
                   workspace_emptied_under_its_feet_is_no_error);
    add_everywhere(P "strange-names-survive", strange_names_survive);
    add_everywhere(P "what-cannot-be-stored-makes-uncacheable",
                   what_cannot_be_stored_makes_uncacheable);
    add_sealed(P "sockets-make-uncacheable", sockets_make_uncacheable);
    add_everywhere(P "depth-has-no-limit", depth_has_no_limit);
    add_everywhere(P "modes-times-and-links-stand-beside-the-tree",
                   modes_times_and_links_stand_beside_the_tree);
    add_everywhere(P "fifos-are-noted-and-no-obstacle", fifos_are_noted_and_no_obstacle);
    add_everywhere(P "holes-are-noted", holes_are_noted);
    add_sealed(P "attributes-are-noted-where-there-are-any",
               attributes_are_noted_where_there_are_any);
    return g_test_run();
}
