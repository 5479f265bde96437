// SPDX-License-Identifier: Apache-2.0
/* The directory of a store: made, refused, shared, grown, full, read-only. */
#include "store-test.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct place {
    char *scratch, *path;
};

static void set_up(struct place *place, const void *data)
{
    place->scratch = scratch_new();
    place->path = g_build_filename(place->scratch, "store", NULL);
}

static void tear_down(struct place *place, const void *data)
{
    scratch_free(place->scratch);
    g_free(place->path);
}

static unsigned mode_of(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    struct stat status;
    g_assert_cmpint(stat(path, &status), ==, 0);
    return status.st_mode & 07777;
}

static void put_numbered(struct store_batch *batch, unsigned number, gsize size,
                         struct digest *digest)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *data = g_malloc0(size);
    memcpy(data, &number, MIN(size, sizeof number));
    store_batch_put(batch, data, size, digest, &error);
    g_assert_no_error(error);
}

/* Run `body` in a child; its result must be true. */
static void in_child(bool (*body)(const char *path), const char *path)
{
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0)
        _exit(body(path) ? 0 : 1);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

/* --- making ----------------------------------------------------------------------------------- */

static void only_the_owner_sees_a_store(struct place *place, const void *data)
{
    static const struct store_options objects = { .inline_limit = 1 };
    mode_t before = umask(0);
    g_autoptr(store) store = open_quietly(place->scratch, &objects);
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "an object", &digest);
    commit(batch);
    umask(before);
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    digest_print_hash(&digest, hex);
    g_autofree char *object = g_strdup_printf("objects/%.2s/%s", hex, hex + 2);
    g_assert_cmpuint(mode_of(place->path, "."), ==, 0700);
    g_assert_cmpuint(mode_of(place->path, "objects"), ==, 0700);
    g_assert_cmpuint(mode_of(place->path, "index"), ==, 0700);
    g_assert_cmpuint(mode_of(place->path, "tmp"), ==, 0700);
    g_assert_cmpuint(mode_of(place->path, "index/data.mdb"), ==, 0600);
    g_assert_cmpuint(mode_of(place->path, object), ==, 0444);
}

static void another_format_is_refused_with_advice(struct place *place, const void *data)
{
    store_close(open_quietly(place->scratch, NULL));
    g_autofree char *format = g_build_filename(place->path, "format", NULL);
    char hex[DIGEST_HASH_SIZE * 2 + 1];
    struct digest digest;
    digest_of("vial store 2", 12, &digest);
    g_autofree char *line = g_strdup_printf("vial store 2 %.8s\n", digest_print_hash(&digest, hex));
    g_assert_true(g_file_set_contents(format, line, -1, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_null(store_open(place->path, NULL, NULL, &error));
    g_assert_error(error, FAULT, FAULT_FORMAT);
    g_assert_nonnull(strstr(error->message, "format 2"));
    g_assert_nonnull(strstr(error->message, "VIAL_STORE"));
}

static void a_directory_of_something_else_is_left_alone(struct place *place, const void *data)
{
    g_autofree char *file = g_build_filename(place->path, "thesis.tex", NULL);
    g_assert_cmpint(mkdir(place->path, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_autoptr(GError) error = NULL;
    g_assert_null(store_open(place->path, NULL, NULL, &error));
    g_assert_error(error, FAULT, FAULT_FORMAT);
    g_assert_nonnull(strstr(error->message, "thesis.tex"));
    g_autoptr(GDir) names = g_dir_open(place->path, 0, NULL);
    g_assert_cmpstr(g_dir_read_name(names), ==, "thesis.tex");
    g_assert_null(g_dir_read_name(names));
}

static void an_interrupted_creation_is_completed(struct place *place, const void *data)
{
    static const char *const parts[] = { "objects", "tmp", "index" };
    for (size_t made = 0; made <= G_N_ELEMENTS(parts); made++) {
        g_assert_cmpint(mkdir(place->path, 0700), ==, 0);
        g_autofree char *half = g_build_filename(place->path, "format.new", NULL);
        g_assert_true(g_file_set_contents(half, "vial st", -1, NULL));
        for (size_t i = 0; i < made; i++) {
            g_autofree char *part = g_build_filename(place->path, parts[i], NULL);
            g_assert_cmpint(mkdir(part, 0700), ==, 0);
        }
        store_close(open_quietly(place->scratch, NULL));
        store_close(open_quietly(place->scratch, NULL));
        g_assert_true(fd_remove_tree(AT_FDCWD, place->path, NULL));
    }
}

static void a_lost_part_is_made_again(struct place *place, const void *data)
{
    static const struct store_options objects = { .inline_limit = 1 };
    static const char *const parts[] = { "objects", "tmp", "index", "claims", "log" };
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *path = g_build_filename(place->path, parts[i], NULL);
        fd_remove_tree(AT_FDCWD, path, NULL);
        g_autoptr(store) store = open_quietly(place->scratch, &objects);
        g_autoptr(store_batch) batch = store_batch_new(store);
        struct digest digest;
        put(batch, "something large", &digest);
        commit(batch);
        assert_blob(store, &digest, "something large");
    }
}

static bool open_and_put(const char *path)
{
    struct digest digest;
    g_autoptr(store) store = store_open(path, NULL, NULL, NULL);
    g_autoptr(store_batch) batch = store != NULL ? store_batch_new(store) : NULL;
    return batch != NULL && store_batch_put(batch, "x", 1, &digest, NULL) &&
           store_batch_commit(batch, NULL);
}

static void many_may_make_a_store_at_once(struct place *place, const void *data)
{
    for (int round = 0; round < 20; round++) {
        pid_t children[4];
        for (int i = 0; i < 4; i++)
            if ((children[i] = fork()) == 0)
                _exit(open_and_put(place->path) ? 0 : 1);
        for (int i = 0; i < 4; i++) {
            int status;
            g_assert_cmpint(waitpid(children[i], &status, 0), ==, children[i]);
            g_assert_cmpint(status, ==, 0);
        }
        g_assert_true(fd_remove_tree(AT_FDCWD, place->path, NULL));
    }
}

/* --- sharing ---------------------------------------------------------------------------------- */

static void two_stores_of_one_process_are_one(struct place *place, const void *data)
{
    g_autoptr(store) first = open_quietly(place->scratch, NULL);
    g_autoptr(store) second = open_quietly(place->scratch, NULL);
    g_autoptr(store_batch) batch = store_batch_new(first);
    struct digest digest;
    put(batch, "content", &digest);
    commit(batch);
    assert_blob(second, &digest, "content");
    store_batch_free(g_steal_pointer(&batch));
    store_close(g_steal_pointer(&first));
    assert_blob(second, &digest, "content");
    in_child(open_and_put, place->path);
    assert_blob(second, &digest, "content");
}

static void a_reader_in_the_same_process_may_not_write(struct place *place, const void *data)
{
    static const struct store_options reading = { .read_only = true };
    g_autoptr(store) writer = open_quietly(place->scratch, NULL);
    g_autoptr(store) reader = open_quietly(place->scratch, &reading);
    g_autoptr(GError) error = NULL;
    g_assert_true(store_is_read_only(reader));
    g_assert_false(store_record_put(reader, STORE_MEMO, "k", 1, NULL, &error));
    g_assert_error(error, FAULT, FAULT_READ_ONLY);
    g_assert_true(store_record_put(writer, STORE_MEMO, "k", 1, NULL, NULL));
}

/* --- growing ---------------------------------------------------------------------------------- */

static const struct store_options tiny = { .map_size = 32768, .inline_limit = 1 << 20 };

static void a_full_map_grows_under_the_batch(struct place *place, const void *data)
{
    g_autoptr(store) store = open_quietly(place->scratch, &tiny);
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest[300];
    for (unsigned i = 0; i < 300; i++)
        put_numbered(batch, i, 4 + i * 20, &digest[i]);
    commit(batch);
    for (unsigned i = 0; i < 300; i++) {
        g_autoptr(GBytes) bytes = store_get(store, &digest[i], NULL);
        g_assert_nonnull(bytes);
    }
    g_autofree char *large = g_strnfill(5 << 20, 'x');
    put_record(batch, "large", large);
    commit(batch);
    assert_record(store, "large", large);
}

static bool put_two_megabytes(const char *path)
{
    g_autoptr(store) store = store_open(path, &tiny, NULL, NULL);
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    for (unsigned i = 0; i < 4; i++)
        put_numbered(batch, i, 500000, &digest);
    return store_batch_commit(batch, NULL);
}

static void a_map_that_another_process_grew_is_followed(struct place *place, const void *data)
{
    g_autoptr(store) store = open_quietly(place->scratch, &tiny);
    in_child(put_two_megabytes, place->path);
    struct store_statistics counts;
    g_assert_true(store_statistics(store, &counts, NULL));
    g_assert_cmpuint(counts.blobs, ==, 4);
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "and write", &digest);
    commit(batch);
    assert_blob(store, &digest, "and write");
}

/* --- read-only and full ----------------------------------------------------------------------- */

static void there_is_nothing_to_read_where_no_store_is(struct place *place, const void *data)
{
    static const struct store_options reading = { .read_only = true };
    g_autoptr(GError) error = NULL;
    g_assert_null(store_open(place->path, &reading, NULL, &error));
    g_assert_error(error, FAULT, FAULT_MISSING);
    g_assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
}

/* Runs as a child without privileges, or on a read-only mount. */
static bool reads_but_cannot_write(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *notice = NULL;
    struct digest digest;
    bool waited;
    g_autoptr(store) store = store_open(path, NULL, &notice, &error);
    if (store == NULL) {
        g_printerr("%s\n", error->message);
        return false;
    }
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(GBytes) value = store_record_get(store, STORE_MEMO, "key", 3);
    digest_of("object", 6, &digest);
    g_autoptr(GBytes) bytes = store_get(store, &digest, NULL);
    struct store_claim *claim = store_claim(store, &digest, NULL, &waited, NULL);
    bool ok = store_is_read_only(store) && value != NULL && bytes != NULL && claim != NULL &&
              store_batch_put(batch, "object", 6, &digest, NULL) /* it is there */ &&
              !store_batch_put(batch, "other", 5, &digest, &error) &&
              g_error_matches(error, FAULT, FAULT_READ_ONLY);
    g_clear_error(&error);
    ok = ok && !store_log_append(store, value, &error) &&
         g_error_matches(error, FAULT, FAULT_READ_ONLY);
    store_claim_release(claim);
    return ok;
}

static void fill_for_readers(struct place *place)
{
    static const struct store_options objects = { .inline_limit = 1 };
    g_autoptr(store) store = open_quietly(place->scratch, &objects);
    g_autoptr(store_batch) batch = store_batch_new(store);
    struct digest digest;
    put(batch, "object", &digest);
    put_record(batch, "key", "value");
    commit(batch);
}

static bool as_nobody(const char *path)
{
    return setgid(65534) == 0 && setuid(65534) == 0 && reads_but_cannot_write(path);
}

static void make_readable(const char *path)
{
    g_autoptr(GDir) names = g_dir_open(path, 0, NULL);
    const char *name;
    g_assert_cmpint(chmod(path, 0555), ==, 0);
    while ((name = g_dir_read_name(names)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            make_readable(below);
        else
            g_assert_cmpint(chmod(below, 0444), ==, 0);
    }
}

static void a_store_without_permission_to_write_is_read(struct place *place, const void *data)
{
    fill_for_readers(place);
    make_readable(place->path);
    g_assert_cmpint(chmod(place->scratch, 0755), ==, 0);
    if (geteuid() == 0)
        in_child(as_nobody, place->path);
    else
        in_child(reads_but_cannot_write, place->path);
    g_assert_cmpint(chmod(place->path, 0700), ==, 0);
}

/* In a mount namespace of our own. False: not permitted here. */
static bool may_mount(void)
{
    uid_t user = geteuid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0)
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool on_a_read_only_mount(const char *path)
{
    return may_mount() && mount(path, path, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0 &&
           reads_but_cannot_write(path);
}

static void a_store_on_a_read_only_file_system_is_read(struct place *place, const void *data)
{
    fill_for_readers(place);
    in_child(on_a_read_only_mount, place->path);
}

static bool nothing_is_described(enum store_table table, GBytes *key, GBytes *value,
                                 struct store_reference *out, void *user)
{
    return false;
}

/* Nothing keeps anything here: after collection as much fits as before. */
static bool makes_room(struct store *store, gsize size)
{
    g_autoptr(GError) error = NULL;
    struct store_gc_result result;
    g_autofree guint8 *data = g_malloc0(size);
    if (!store_gc(store, 0, nothing_is_described, NULL, &result, &error)) {
        g_printerr("%s\n", error->message);
        return false;
    }
    for (unsigned i = 0; i < 10; i++) {
        g_autoptr(store_batch) batch = store_batch_new(store);
        struct digest digest;
        memcpy(data, &i, sizeof i);
        if (!store_batch_put(batch, data, size, &digest, NULL) || !store_batch_commit(batch, NULL))
            return false;
    }
    return result.blobs_removed > 10;
}

/*
 * Put until the disk is full, in small and large pieces; then everything committed must be there,
 * also when the store is opened again on the full disk.
 */
static bool fill_disk(const char *path, const struct store_options *options, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) done = g_array_new(FALSE, FALSE, sizeof(struct digest));
    g_autoptr(store) store = store_open(path, options, NULL, &error);
    for (unsigned i = 0; error == NULL; i++) {
        g_autoptr(store_batch) batch = store_batch_new(store);
        g_autofree guint8 *data = g_malloc0(size);
        struct digest digest;
        memcpy(data, &i, sizeof i);
        if (store_batch_put(batch, data, size, &digest, &error) &&
            store_batch_commit(batch, &error))
            g_array_append_val(done, digest);
    }
    if (!g_error_matches(error, FAULT, FAULT_NO_SPACE)) {
        g_printerr("%s\n", error->message);
        return false;
    }
    for (int again = 0; again < 2; again++) {
        for (guint i = 0; i < done->len; i++) {
            g_autoptr(GBytes) bytes =
                store_get(store, &g_array_index(done, struct digest, i), NULL);
            if (bytes == NULL)
                return false;
        }
        store_close(g_steal_pointer(&store));
        store = store_open(path, options, NULL, NULL);
        if (store == NULL)
            return false;
    }
    return done->len > 10 && makes_room(store, size);
}

static bool fills_a_small_disk(const char *path)
{
    static const struct store_options small = { .map_size = 1 << 20 },
                                      large = { .inline_limit = 1 };
    static const gsize sizes[] = { 700, 15000, 60000 };
    if (!may_mount())
        return false;
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
        if (mount("tmpfs", path, "tmpfs", 0, "size=4m") < 0)
            return false;
        g_autofree char *store = g_build_filename(path, "store", NULL);
        if (!fill_disk(store, i % 2 == 0 ? &small : &large, sizes[i / 2]))
            return false;
        if (umount2(path, MNT_DETACH) < 0)
            return false;
    }
    return true;
}

static void a_full_disk_costs_only_what_did_not_fit(struct place *place, const void *data)
{
    in_child(fills_a_small_disk, place->scratch);
}

static const struct {
    const char *name;
    void (*run)(struct place *place, const void *data);
} tests[] = {
    { "only-the-owner-sees-a-store", only_the_owner_sees_a_store },
    { "another-format-is-refused-with-advice", another_format_is_refused_with_advice },
    { "a-directory-of-something-else-is-left-alone", a_directory_of_something_else_is_left_alone },
    { "an-interrupted-creation-is-completed", an_interrupted_creation_is_completed },
    { "a-lost-part-is-made-again", a_lost_part_is_made_again },
    { "many-may-make-a-store-at-once", many_may_make_a_store_at_once },
    { "two-stores-of-one-process-are-one", two_stores_of_one_process_are_one },
    { "a-reader-in-the-same-process-may-not-write", a_reader_in_the_same_process_may_not_write },
    { "a-full-map-grows-under-the-batch", a_full_map_grows_under_the_batch },
    { "a-map-that-another-process-grew-is-followed", a_map_that_another_process_grew_is_followed },
    { "there-is-nothing-to-read-where-no-store-is", there_is_nothing_to_read_where_no_store_is },
    { "a-store-without-permission-to-write-is-read", a_store_without_permission_to_write_is_read },
    { "a-store-on-a-read-only-file-system-is-read", a_store_on_a_read_only_file_system_is_read },
    { "a-full-disk-costs-only-what-did-not-fit", a_full_disk_costs_only_what_did_not_fit },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/store/lmdb/", tests[i].name, NULL);
        g_test_add(path, struct place, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
