// SPDX-License-Identifier: Apache-2.0
/* The host's files as a state: against what is really there, with and without a stat cache. */
#include "store-scene.h"
#include "trace-support.h"

#include <sys/xattr.h>

static struct trace_value answer(const struct scene *scene, struct trace_clock *clock,
                                 const char *path, unsigned aspects)
{
    g_autoptr(trace_state) state = trace_host_state_new(scene->path, scene->cache, clock);
    g_autoptr(GError) error = NULL;
    const struct trace_question question = { path, aspects | TRACE_KIND };
    struct trace_value value = { 0 };
    g_assert_true(state->operations->look_up(state, &question, 1, &value, &error));
    g_assert_no_error(error);
    value.target = g_intern_string(value.target);
    value.xattrs = g_intern_string(value.xattrs);
    return value;
}

static enum trace_kind kind_of(const struct scene *scene, const char *path)
{
    return answer(scene, NULL, path, TRACE_KIND).kind;
}

static void scene_link(const struct scene *scene, const char *target, const char *path)
{
    g_assert_cmpint(symlinkat(target, scene->directory, path), ==, 0);
}

static void each_kind_is_told(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    scene_make_directory(&scene, "d");
    scene_link(&scene, "f", "l");
    g_assert_cmpint(mkfifoat(scene.directory, "p", 0600), ==, 0);
    g_assert_cmpint(kind_of(&scene, ""), ==, TRACE_DIRECTORY);
    g_assert_cmpint(kind_of(&scene, "/"), ==, TRACE_DIRECTORY);
    g_assert_cmpint(kind_of(&scene, "f"), ==, TRACE_FILE);
    g_assert_cmpint(kind_of(&scene, "d"), ==, TRACE_DIRECTORY);
    g_assert_cmpint(kind_of(&scene, "l"), ==, TRACE_LINK);
    g_assert_cmpint(kind_of(&scene, "p"), ==, TRACE_FIFO);
    g_assert_cmpint(kind_of(&scene, "/dev/null"), ==, TRACE_CHARACTER_DEVICE);
    g_assert_cmpint(kind_of(&scene, "x"), ==, TRACE_NOTHING);
    g_assert_cmpint(kind_of(&scene, "x/y/z"), ==, TRACE_NOTHING);
    g_assert_cmpint(kind_of(&scene, "f/x"), ==, TRACE_NOTHING);
    g_assert_cmpint(kind_of(&scene, "/no/such/path"), ==, TRACE_NOTHING);
    g_autofree char *longest = g_strnfill(256, 'n');
    g_assert_cmpint(kind_of(&scene, longest), ==, TRACE_NOTHING);
}

static void links_are_not_followed(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "d/f", "text");
    scene_link(&scene, "d", "l");
    g_assert_cmpint(kind_of(&scene, "d/f"), ==, TRACE_FILE);
    g_assert_cmpint(kind_of(&scene, "l/f"), ==, TRACE_NOTHING);
    g_assert_cmpstr(answer(&scene, NULL, "l", TRACE_TARGET).target, ==, "d");
}

static void a_workspace_may_be_reached_through_a_link(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "w/f", "text");
    scene_link(&scene, "w", "l");
    g_autofree char *root = g_build_filename(scene.path, "l", NULL);
    g_autofree char *file = g_build_filename(root, "f", NULL);
    g_autoptr(trace_state) state = trace_host_state_new(root, scene.cache, NULL);
    struct stat status = scene_stat(&scene, "w/f");
    struct seal_item item = { .path = file, .outcome = SEAL_CHANGED };
    trace_stamp_of(&status, &item.stamp);
    trace_host_hash(&item, 1, state);
    g_assert_cmpint(item.outcome, ==, SEAL_HASHED);
}

static void a_directory_that_may_not_be_entered_hides_what_is_in_it(void)
{
    g_auto(scene) scene;
    if (geteuid() == 0) {
        scene_init(&scene);
        scene_write(&scene, "d/f", "text");
        g_assert_cmpint(kind_of(&scene, "d/f"), ==, TRACE_FILE); /* root enters all */
        return;
    }
    scene_init(&scene);
    scene_write(&scene, "d/f", "text");
    g_assert_cmpint(fchmodat(scene.directory, "d", 0, 0), ==, 0);
    g_assert_cmpint(kind_of(&scene, "d/f"), ==, TRACE_UNREACHABLE);
    g_assert_true(answer(&scene, NULL, "d", TRACE_NAMES).unreadable);
    g_assert_cmpint(fchmodat(scene.directory, "d", 0755, 0), ==, 0);
}

/* Deeper than the directories that are kept open, and than a path that a system call takes. */
static void paths_may_be_of_any_depth(void)
{
    enum {
        DEPTH = 200
    };
    g_auto(scene) scene;
    scene_init(&scene);
    g_autofree char *name = g_strnfill(40, 'n');
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(recorder) recorder = recorder_new(scene.path);
    int at = dup(scene.directory);
    for (guint i = 0; i < DEPTH; i++) {
        g_assert_cmpint(mkdirat(at, name, 0755), ==, 0);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
        g_string_append_printf(path, "%s%s", i == 0 ? "" : "/", name);
        int file = openat(at, "z", O_WRONLY | O_CREAT | O_CLOEXEC, 0644); /* asked on the way up */
        close(file);
        g_autofree char *noted = g_strconcat(scene.path, "/", path->str, "/z", NULL);
        note_known(recorder, noted, 0, "");
        g_autofree char *folder = g_strconcat(scene.path, "/", path->str, NULL);
        note_kind(recorder, folder, 0, TRACE_DIRECTORY);
    }
    close(at);
    g_autoptr(trace) trace = sealed(recorder);
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(trace_state) state = trace_host_state_new(scene.path, scene.cache, NULL);
    g_autoptr(GByteArray) recorded = g_byte_array_new(), found = g_byte_array_new();
    trace_values(trace, recorded);
    g_assert_true(path_set_evaluate(set, state, found, NULL));
    g_assert_cmpmem(found->data, found->len, recorded->data, recorded->len);
}

/* --- sealing ---------------------------------------------------------------------------------- */

static enum seal_outcome seal_one(const struct scene *scene, const char *name,
                                  const struct trace_stamp *stamp)
{
    g_autoptr(trace_state) state = trace_host_state_new(scene->path, scene->cache, NULL);
    g_autofree char *path = g_build_filename(scene->path, name, NULL);
    struct seal_item item = { .path = path, .stamp = *stamp, .outcome = SEAL_CHANGED };
    trace_host_hash(&item, 1, state);
    return item.outcome;
}

static void a_file_that_was_edited_and_put_back_is_not_the_one_sighted(void)
{
    g_auto(scene) scene;
    struct trace_stamp stamp;
    scene_init(&scene);
    scene_write(&scene, "f", "text");
    const struct stat status = scene_stat(&scene, "f");
    trace_stamp_of(&status, &stamp);
    g_assert_cmpint(seal_one(&scene, "f", &stamp), ==, SEAL_HASHED);
    scene_age(&scene);
    scene_write(&scene, "f", "TEXT");
    scene_write(&scene, "f", "text");
    scene_restore_times(&scene, "f", &status);
    g_assert_cmpint(seal_one(&scene, "f", &stamp), ==, SEAL_CHANGED);
    g_assert_cmpint(unlinkat(scene.directory, "f", 0), ==, 0);
    g_assert_cmpint(seal_one(&scene, "f", &stamp), ==, SEAL_CHANGED);
    g_assert_cmpint(seal_one(&scene, "d/f", &stamp), ==, SEAL_CHANGED);
}

static void many_files_are_hashed_in_several_threads(void)
{
    enum {
        COUNT = 5000
    };
    g_auto(scene) scene;
    scene_init(&scene);
    g_autofree struct seal_item *items = g_new0(struct seal_item, COUNT);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < COUNT; i++) {
        g_autofree char *name = g_strdup_printf("d%02u/%05u", i / 100, i);
        scene_write(&scene, name, name);
        const struct stat status = scene_stat(&scene, name);
        trace_stamp_of(&status, &items[i].stamp);
        g_ptr_array_add(paths, g_build_filename(scene.path, name, NULL));
        items[i].path = paths->pdata[i];
    }
    for (guint pass = 0; pass < 2; pass++) { /* read, then known */
        g_autoptr(trace_state) state = trace_host_state_new(scene.path, scene.cache, NULL);
        trace_host_hash(items, COUNT, state);
        for (guint i = 0; i < COUNT; i++) {
            struct digest expected;
            const char *name = items[i].path + strlen(scene.path) + 1;
            digest_of(name, strlen(name), &expected);
            g_assert_cmpint(items[i].outcome, ==, SEAL_HASHED);
            g_assert_true(digest_equal(&items[i].digest, &expected));
            items[i].digest = (struct digest){ 0 };
        }
    }
}

/* --- recorded and evaluated, at random ----------------------------------------------------------
 */

static const char *const names[] = { "a", "b", "a-b", "d", "e", "\xff" };

static char *random_relative(GRand *random)
{
    GString *path = g_string_new(NULL);
    for (int i = g_rand_int_range(random, 0, 3); i > 0; i--)
        g_string_append(path, g_rand_boolean(random) ? "d/" : "e/");
    g_string_append(path, names[g_rand_int_range(random, 0, G_N_ELEMENTS(names))]);
    return g_string_free(path, FALSE);
}

static void spoil(const struct scene *scene, GRand *random)
{
    g_autofree char *path = random_relative(random);
    g_autofree char *text = g_strdup_printf("%d", g_rand_int_range(random, 0, 3));
    struct stat status;
    bool there = fstatat(scene->directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    switch (g_rand_int_range(random, 0, 6)) {
    case 0:
        fd_remove_tree(scene->directory, path, NULL);
        break;
    case 1:
        symlinkat(text, scene->directory, path);
        break;
    case 2:
        mkdirat(scene->directory, path, 0755);
        break;
    case 3:
        if (there && S_ISREG(status.st_mode))
            fchmodat(scene->directory, path, status.st_mode ^ 0100, 0);
        break;
    default: {
        autofd int file =
            fd_open_beneath(scene->directory, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (file >= 0)
            fd_write_all(file, text, strlen(text), path, NULL);
        break;
    }
    }
}

/* As a view would: by looking, link by link. NULL: a directory above is none. */
static struct trace_value look(const struct scene *scene, const char *path)
{
    struct stat status;
    struct trace_value value = { 0 };
    char target[256] = "";
    autofd int file = fd_open_beneath(scene->directory, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (file < 0)
        return value;
    g_assert_cmpint(fstat(file, &status), ==, 0);
    value.kind = trace_kind_of(status.st_mode);
    value.mode = status.st_mode & 07777;
    value.time = fd_nanoseconds(status.st_mtim);
    if (value.kind == TRACE_FILE) {
        g_autofree char *text = scene_read(scene->directory, path);
        digest_of(text, strlen(text), &value.digest);
    } else if (value.kind == TRACE_LINK) {
        g_assert_cmpint(readlinkat(file, "", target, sizeof target), >=, 0);
        value.target = g_intern_string(target);
    }
    return value;
}

static void look_at_names(const struct scene *scene, const char *path, struct digest *out)
{
    g_autofree char *absolute = g_build_filename(scene->path, path, NULL);
    g_autoptr(GDir) directory = g_dir_open(absolute, 0, NULL);
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    const char *entry;
    while ((entry = g_dir_read_name(directory)) != NULL) {
        g_autofree char *below = g_build_filename(absolute, entry, NULL);
        struct stat status;
        g_assert_cmpint(lstat(below, &status), ==, 0);
        const struct trace_name name = { g_intern_string(entry), trace_kind_of(status.st_mode) };
        g_array_append_val(found, name);
    }
    trace_names_digest((struct trace_name *)found->data, found->len, out);
}

static struct trace *record(const struct scene *scene, const GArray *asked)
{
    g_autoptr(recorder) recorder = recorder_new(scene->path);
    for (guint i = 0; i < asked->len; i++) {
        const struct asked *one = &g_array_index(asked, struct asked, i);
        struct trace_value value = look(scene, one->path);
        if (value.kind == TRACE_DIRECTORY && (one->aspects & TRACE_NAMES) != 0)
            look_at_names(scene, one->path, &value.digest);
        const struct sight sight = { .kind = value.kind,
                                     .mode = value.mode,
                                     .digest = &value.digest,
                                     .target = value.target,
                                     .time = value.time };
        g_autofree char *absolute = g_build_filename(scene->path, one->path, NULL);
        recorder_note(recorder, absolute, one->aspects, 0, &sight);
    }
    return sealed(recorder);
}

static void check_evaluation(const struct scene *scene, const GArray *asked)
{
    g_autoptr(trace) trace = record(scene, asked);
    g_autoptr(path_set) set = path_set_of(trace);
    g_autoptr(GByteArray) recorded = g_byte_array_new();
    trace_values(trace, recorded);
    assert_refusal(trace, NULL);
    for (guint cached = 0; cached < 2; cached++) {
        g_autoptr(trace_state) state =
            trace_host_state_new(scene->path, cached != 0 ? scene->cache : NULL, NULL);
        for (guint again = 0; again < 2; again++) {
            g_autoptr(GByteArray) found = g_byte_array_new();
            g_assert_true(path_set_evaluate(set, state, found, NULL));
            g_assert_cmpmem(found->data, found->len, recorded->data, recorded->len);
        }
    }
}

static void the_host_gives_what_was_recorded_from_it(void)
{
    for (guint seed = 0; seed < 30; seed++) {
        g_auto(scene) scene;
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        g_autoptr(GArray) asked = g_array_new(FALSE, FALSE, sizeof(struct asked));
        scene_init(&scene);
        for (guint i = 0; i < 40; i++)
            spoil(&scene, random);
        for (guint i = 0; i < 20; i++) {
            struct asked one = { random_relative(random),
                                 (unsigned)g_rand_int_range(random, 0, 1 << TRACE_ASPECTS) };
            g_array_append_val(asked, one);
        }
        for (guint step = 0; step < 8; step++) {
            g_test_message("seed %u, step %u", seed, step);
            check_evaluation(&scene, asked);
            if (step % 3 == 0)
                scene_age(&scene);
            spoil(&scene, random);
        }
        for (guint i = 0; i < asked->len; i++)
            g_free(g_array_index(asked, struct asked, i).path);
    }
}

static void listings_can_be_had_name_by_name(void)
{
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "d/f", "text");
    scene_make_directory(&scene, "d/e");
    g_autoptr(trace_state) state = trace_host_state_new(scene.path, scene.cache, NULL);
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(struct trace_name));
    g_assert_true(state->operations->list(state, "d", found, NULL));
    g_assert_cmpuint(found->len, ==, 2);
    struct digest digest;
    trace_names_digest((struct trace_name *)found->data, found->len, &digest);
    const struct trace_value value = answer(&scene, NULL, "d", TRACE_NAMES);
    g_assert_true(digest_equal(&value.digest, &digest));
    g_assert_false(state->operations->list(state, "d/f", found, NULL));
    g_assert_false(state->operations->list(state, "x/y", found, NULL));
}

/* --- the change clock ---------------------------------------------------------------------------
 */

static gint64 time_of(const struct scene *scene, struct trace_clock *clock, const char *path)
{
    return answer(scene, clock, path, TRACE_TIME).time;
}

static void the_clock_moves_with_content_alone(void)
{
    g_auto(scene) scene;
    g_autoptr(trace_clock) clock = trace_clock_new(NULL);
    scene_init(&scene);
    scene_write(&scene, "d/f", "text");
    scene_link(&scene, "x", "d/l");
    const gint64 first = time_of(&scene, clock, "d/f"), link = time_of(&scene, clock, "d/l");
    const gint64 folder = time_of(&scene, clock, "d");
    scene_age(&scene);
    g_assert_cmpint(utimensat(scene.directory, "d/f", NULL, 0), ==, 0);
    g_assert_cmpint(utimensat(scene.directory, "d/l", NULL, AT_SYMLINK_NOFOLLOW), ==, 0);
    g_assert_cmpint(utimensat(scene.directory, "d", NULL, 0), ==, 0);
    g_assert_cmpint(time_of(&scene, clock, "d/f"), ==, first);
    g_assert_cmpint(time_of(&scene, clock, "d/l"), ==, link);
    g_assert_cmpint(time_of(&scene, clock, "d"), ==, folder);
    g_assert_cmpint(time_of(&scene, NULL, "d/f"), >, first);
    scene_write(&scene, "d/f", "text");
    g_assert_cmpint(time_of(&scene, clock, "d/f"), ==, first);
    scene_write(&scene, "d/f", "edit");
    const gint64 second = time_of(&scene, clock, "d/f");
    g_assert_cmpint(second, >, first);
    g_assert_cmpint(time_of(&scene, clock, "d"), ==, folder);
    scene_age(&scene);
    scene_write(&scene, "d/f", "text");
    g_assert_cmpint(time_of(&scene, clock, "d/f"), >, second);
    scene_write(&scene, "d/g", "");
    g_assert_cmpint(time_of(&scene, clock, "d"), >, folder);
}

static char *xattrs_of(const struct scene *scene, const char *path)
{
    return g_strdup(answer(scene, NULL, path, TRACE_XATTRS).xattrs);
}

static void set_xattr(const struct scene *scene, const char *path, const char *name,
                      const char *value)
{
    g_autofree char *absolute = g_build_filename(scene->path, path, NULL);
    g_assert_cmpint(setxattr(absolute, name, value, strlen(value), 0), ==, 0);
}

/* Of the workspace itself, of a directory in it and of a file in that. */
static void extended_attributes_are_told_by_name_and_value(void)
{
    static const char *const paths[] = { "", "d", "d/f" };
    g_auto(scene) scene;
    scene_init(&scene);
    scene_write(&scene, "d/f", "text");
    if (fsetxattr(scene.directory, "user.try", "", 0, 0) < 0) {
        g_test_skip("no extended attributes on the file system of temporary files");
        return;
    }
    g_assert_cmpint(fremovexattr(scene.directory, "user.try"), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *none = xattrs_of(&scene, paths[i]);
        set_xattr(&scene, paths[i], "user.b", "1");
        g_autofree char *one = xattrs_of(&scene, paths[i]);
        set_xattr(&scene, paths[i], "user.a", "");
        g_autofree char *two = xattrs_of(&scene, paths[i]);
        set_xattr(&scene, paths[i], "user.b", "2");
        g_autofree char *changed = xattrs_of(&scene, paths[i]);
        g_assert_cmpstr(none, ==, NULL);
        g_assert_nonnull(one);
        g_assert_cmpstr(one, !=, two);
        g_assert_cmpstr(two, !=, changed);
        set_xattr(&scene, paths[i], "user.b", "1");
        g_autofree char *again = xattrs_of(&scene, paths[i]);
        g_assert_cmpstr(again, ==, two);
        g_assert_cmpstr(answer(&scene, NULL, paths[i], TRACE_CONTENT).xattrs, ==, NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {
        { "each-kind-is-told", each_kind_is_told },
        { "links-are-not-followed", links_are_not_followed },
        { "a-workspace-may-be-reached-through-a-link", a_workspace_may_be_reached_through_a_link },
        { "a-directory-that-may-not-be-entered-hides-what-is-in-it",
          a_directory_that_may_not_be_entered_hides_what_is_in_it },
        { "paths-may-be-of-any-depth", paths_may_be_of_any_depth },
        { "a-file-that-was-edited-and-put-back-is-not-the-one-sighted",
          a_file_that_was_edited_and_put_back_is_not_the_one_sighted },
        { "many-files-are-hashed-in-several-threads", many_files_are_hashed_in_several_threads },
        { "the-host-gives-what-was-recorded-from-it", the_host_gives_what_was_recorded_from_it },
        { "listings-can-be-had-name-by-name", listings_can_be_had_name_by_name },
        { "extended-attributes-are-told-by-name-and-value",
          extended_attributes_are_told_by_name_and_value },
        { "the-clock-moves-with-content-alone", the_clock_moves_with_content_alone },
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/trace/host/", tests[i].name, NULL);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
