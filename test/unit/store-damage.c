// SPDX-License-Identifier: Apache-2.0
/*
 * Flipped bits and cut files: whatever is done to a store's files, it opens, every answer is right
 * or missing, and nothing crashes.
 *
 * One small store is built once and copied for each trial. A trial damages one file, opens the
 * store, reads all it should hold, puts something, and opens it again. Trials run in this process,
 * so that a wild pointer in LMDB would end it.
 */
#include "store-test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    BLOBS = 120,
    RECORDS = 60
};

static const struct store_options options = { .map_size = 1 << 20, .inline_limit = 6000 };

static struct {
    char *scratch, *pristine;
    GBytes *blob[BLOBS];
    struct digest digest[BLOBS];
    char *key[RECORDS], *record[RECORDS];
} model;

/* Sizes from nothing to several pages, and some objects. */
static GBytes *make_blob(unsigned number)
{
    gsize size = number % 20 == 0 ? number * 100 : number * number * 7 % 1500;
    guint8 *data = g_malloc(size + 1);
    g_autoptr(GRand) random = g_rand_new_with_seed(number);
    for (gsize i = 0; i < size; i++)
        data[i] = (guint8)g_rand_int(random);
    return g_bytes_new_take(data, size);
}

static void fill_model(void)
{
    struct store *store = open_quietly(model.scratch, &options);
    struct store_batch *batch = store_batch_new(store);
    for (unsigned i = 0; i < BLOBS; i++) {
        model.blob[i] = make_blob(i);
        gsize size;
        const void *data = g_bytes_get_data(model.blob[i], &size);
        g_assert_true(store_batch_put(batch, data, size, &model.digest[i], NULL));
        if (i % 10 == 9)
            commit(batch); /* several transactions, so that there are free pages */
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        model.key[i] = g_strdup_printf("record %u", i);
        model.record[i] = g_strdup_printf("value %u %0*d", i, (int)(i * 37 % 700), 0);
        put_record(batch, model.key[i], model.record[i]);
    }
    commit(batch);
    g_autoptr(GBytes) entry = g_bytes_new_static("a run", 5);
    for (int i = 0; i < 20; i++)
        g_assert_true(store_log_append(store, entry, NULL));
    bool waited;
    store_claim_release(store_claim(store, &model.digest[0], NULL, &waited, NULL));
    store_batch_free(batch);
    store_close(store);
}

/* --- copies of the store ---------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    g_autofree char *data = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(from, &data, &size, NULL));
    autofd int file = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    g_assert_cmpint(file, >=, 0);
    g_assert_true(fd_write_all(file, data, size, to, NULL));
}

static void copy_tree(const char *from, const char *to)
{
    g_assert_cmpint(mkdir(to, 0700), ==, 0);
    g_autoptr(GDir) names = g_dir_open(from, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(names)) != NULL) {
        g_autofree char *source = g_build_filename(from, name, NULL);
        g_autofree char *target = g_build_filename(to, name, NULL);
        if (g_file_test(source, G_FILE_TEST_IS_DIR))
            copy_tree(source, target);
        else
            copy_file(source, target);
    }
}

static char *fresh_copy(void)
{
    g_autofree char *path = g_build_filename(model.scratch, "store", NULL);
    g_autoptr(GError) error = NULL;
    fd_remove_tree(AT_FDCWD, path, &error);
    g_assert_no_error(error);
    copy_tree(model.pristine, path);
    return g_steal_pointer(&path);
}

/* --- a trial ---------------------------------------------------------------------------------- */

static bool note_entry(GBytes *entry, void *user)
{
    assert_bytes(entry, "a run");
    (*(unsigned *)user)++;
    return true;
}

/* All that the store says must be right. Returns how much of it is there. */
static unsigned check_answers(struct store *store)
{
    unsigned found = 0;
    for (unsigned i = 0; i < BLOBS; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = store_get(store, &model.digest[i], &error);
        if (bytes == NULL)
            g_assert_error(error, FAULT, FAULT_MISSING);
        else
            g_assert_true(g_bytes_equal(bytes, model.blob[i]));
        found += bytes != NULL;
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        g_autoptr(GBytes) value =
            store_record_get(store, STORE_MEMO, model.key[i], strlen(model.key[i]));
        if (value != NULL)
            assert_bytes(value, model.record[i]);
        found += value != NULL;
    }
    store_log_each(store, note_entry, &found);
    return found;
}

static bool is_known(const GError *error)
{
    return g_error_matches(error, FAULT, FAULT_DAMAGED) ||
           g_error_matches(error, FAULT, FAULT_READ_ONLY) ||
           g_error_matches(error, FAULT, FAULT_MISSING);
}

/* Put old and new things; true if that worked. Failing is fine if the error says why. */
static bool write_something(struct store *store, unsigned salt)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf("new %u", salt);
    struct digest digest;
    bool ok = store_batch_put(batch, text, strlen(text), &digest, &error);
    for (unsigned i = salt % 7; ok && i < BLOBS; i += 7) {
        gsize size;
        const void *data = g_bytes_get_data(model.blob[i], &size);
        ok = store_batch_put(batch, data, size, &digest, &error);
    }
    for (unsigned i = salt % 5; i < RECORDS; i += 5)
        put_record(batch, model.key[i], model.record[i]);
    ok = ok && store_batch_commit(batch, &error);
    if (!ok)
        g_assert_true(is_known(error));
    return ok;
}

static struct store *open_damaged(const char *path, bool *said)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *notice = NULL;
    struct store *store = store_open(path, &options, &notice, &error);
    g_assert_no_error(error);
    *said = notice != NULL;
    return store;
}

/*
 * After the damage: open, read, write, read; open again, where writing must work, for by then the
 * damage is either repaired or does not matter.
 */
static void try_store(const char *path, unsigned salt)
{
    bool said;
    struct store *store = open_damaged(path, &said);
    check_answers(store);
    bool wrote = write_something(store, salt);
    check_answers(store);
    store_close(store);

    for (int attempt = 0; attempt < 2; attempt++) {
        store = open_damaged(path, &said);
        check_answers(store);
        wrote = write_something(store, salt + 1);
        if (wrote)
            check_answers(store);
        store_close(store);
        if (wrote)
            break;
    }
    g_assert_true(wrote);
}

static void flip(const char *path, gint64 bit)
{
    autofd int file = open(path, O_RDWR);
    guint8 byte;
    g_assert_cmpint(file, >=, 0);
    g_assert_cmpint(pread(file, &byte, 1, bit / 8), ==, 1);
    byte ^= (guint8)(1u << bit % 8);
    g_assert_cmpint(pwrite(file, &byte, 1, bit / 8), ==, 1);
}

static gint64 size_of(const char *path)
{
    struct stat status;
    g_assert_cmpint(stat(path, &status), ==, 0);
    return status.st_size;
}

/* --- the tests -------------------------------------------------------------------------------- */

/* In every page: each field of the header, some offsets, some nodes, some of the content. */
static void any_flipped_bit_of_the_index_is_survived(void)
{
    g_autofree char *pristine = g_build_filename(model.pristine, "index/data.mdb", NULL);
    gint64 pages = size_of(pristine) / 4096;
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    int flips = g_test_slow() ? 120 : 6;
    for (gint64 page = 0; page < pages; page++)
        for (int i = 0; i < flips; i++) {
            static const int spans[] = { 16, 16, 160, 64, 4096, 4096 };
            gint64 byte = g_rand_int_range(random, 0, spans[i % (int)G_N_ELEMENTS(spans)]);
            if (i % 6 == 5)
                byte = 4095 - byte % 512; /* the first nodes lie at the end */
            gint64 bit = (page * 4096 + byte) * 8 + g_rand_int_range(random, 0, 8);
            g_autofree char *store = fresh_copy();
            g_autofree char *file = g_build_filename(store, "index/data.mdb", NULL);
            g_test_message("page %d byte %d bit %d", (int)page, (int)byte, (int)(bit % 8));
            flip(file, bit);
            try_store(store, (unsigned)bit);
        }
}

static void every_bit_of_the_meta_pages_may_flip(void)
{
    for (gint64 page = 0; page < 2; page++)
        for (gint64 bit = 0; bit < (16 + 136) * 8; bit += g_test_slow() ? 1 : 7) {
            g_autofree char *store = fresh_copy();
            g_autofree char *file = g_build_filename(store, "index/data.mdb", NULL);
            g_test_message("meta page %d bit %d", (int)page, (int)bit);
            flip(file, page * 4096 * 8 + bit);
            try_store(store, (unsigned)bit);
        }
}

static void an_index_cut_anywhere_is_survived(void)
{
    g_autofree char *pristine = g_build_filename(model.pristine, "index/data.mdb", NULL);
    gint64 size = size_of(pristine);
    g_autoptr(GRand) random = g_rand_new_with_seed(8);
    for (int i = 0; i < (g_test_slow() ? 1000 : 60); i++) {
        g_autofree char *store = fresh_copy();
        g_autofree char *file = g_build_filename(store, "index/data.mdb", NULL);
        gint64 length = i == 0 ? 0 : g_rand_int_range(random, 0, (gint32)size);
        if (i % 3 == 1)
            length = length / 4096 * 4096;
        g_test_message("cut at %d", (int)length);
        g_assert_cmpint(truncate(file, length), ==, 0);
        try_store(store, (unsigned)i);
    }
}

static void damage_file(const char *store, const char *name, GRand *random, int trial)
{
    g_autofree char *file = g_build_filename(store, name, NULL);
    gint64 size = size_of(file);
    if (size > 0 && trial % 3 != 2)
        flip(file, g_rand_int_range(random, 0, (gint32)MIN(size * 8, G_MAXINT32 / 2)));
    else if (trial % 2 == 0)
        g_assert_cmpint(truncate(file, size > 0 ? g_rand_int_range(random, 0, (gint32)size) : 0),
                        ==, 0);
    else
        g_assert_cmpint(unlink(file), ==, 0);
}

static void damage_to_the_other_files_is_survived(void)
{
    static const char *const names[] = { "format", "lock", "log", "claims", "index/lock.mdb" };
    g_autoptr(GRand) random = g_rand_new_with_seed(9);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        for (int trial = 0; trial < 25; trial++) {
            g_autofree char *store = fresh_copy();
            g_test_message("%s trial %d", names[i], trial);
            damage_file(store, names[i], random, trial);
            try_store(store, (unsigned)trial);
        }
}

static void collect_files(const char *directory, GPtrArray *out)
{
    g_autoptr(GDir) names = g_dir_open(directory, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(names)) != NULL) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            collect_files(path, out);
        else
            g_ptr_array_add(out, g_steal_pointer(&path));
    }
}

static void a_damaged_object_is_missing_and_comes_back(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(10);
    for (int trial = 0; trial < 40; trial++) {
        g_autofree char *path = fresh_copy();
        g_autofree char *objects = g_build_filename(path, "objects", NULL);
        g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
        collect_files(objects, files);
        g_assert_cmpuint(files->len, >, 1);
        const char *file = files->pdata[g_rand_int_range(random, 0, (gint32)files->len)];
        damage_file("/", file, random, trial);
        bool said;
        struct store *store = open_damaged(path, &said);
        g_assert_false(said);
        unsigned found = check_answers(store);
        g_assert_cmpuint(found, ==, BLOBS + RECORDS + 20 - 1);
        for (unsigned salt = 0; salt < 7; salt++)
            g_assert_true(write_something(store, salt));
        g_assert_cmpuint(check_answers(store), ==, BLOBS + RECORDS + 20);
        store_close(store);
    }
}

static void a_flipped_bit_in_the_log_costs_one_entry(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(11);
    for (int trial = 0; trial < 50; trial++) {
        g_autofree char *path = fresh_copy();
        g_autofree char *file = g_build_filename(path, "log", NULL);
        flip(file, g_rand_int_range(random, 0, (gint32)size_of(file) * 8));
        bool said;
        struct store *store = open_damaged(path, &said);
        unsigned entries = 0;
        store_log_each(store, note_entry, &entries);
        g_assert_cmpuint(entries, ==, 19);
        store_close(store);
    }
}

/* --- damage that others must not suffer from -------------------------------------------------- */

/* Damage every page but the meta pages beyond recognition. */
static void wreck(const char *path)
{
    g_autofree char *file = g_build_filename(path, "index/data.mdb", NULL);
    gint64 size = size_of(file);
    autofd int data = open(file, O_WRONLY);
    g_autofree guint8 *junk = g_malloc(4096);
    memset(junk, 0x5a, 4096);
    for (gint64 at = 2 * 4096; at < size; at += 4096)
        g_assert_cmpint(pwrite(data, junk, 4096, at), ==, 4096);
}

static void a_damaged_index_in_use_elsewhere_leaves_an_empty_store(void)
{
    g_autofree char *path = fresh_copy();
    int ready[2], done[2];
    g_assert_cmpint(pipe(ready) | pipe(done), ==, 0);
    pid_t child = fork();
    if (child == 0) { /* has the store open all the time */
        close(done[1]);
        struct store *store = store_open(path, &options, NULL, NULL);
        bool ok = store != NULL && write(ready[1], "x", 1) == 1;
        char byte;
        while (read(done[0], &byte, 1) > 0)
            ;
        store_close(store);
        _exit(ok ? 0 : 1);
    }
    char byte;
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(done[0]);
    wreck(path);
    bool said;
    struct store *store = open_damaged(path, &said);
    g_assert_cmpuint(check_answers(store), <=, 20);
    g_assert_false(write_something(store, 1));
    store_close(store);

    store = open_damaged(path, &said); /* it is marked now, and still in use */
    g_assert_true(said);
    g_assert_true(store_is_read_only(store));
    g_assert_cmpuint(check_answers(store), ==, 20);
    g_assert_false(write_something(store, 2));
    store_close(store);

    close(done[1]);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    store = open_damaged(path, &said);
    g_assert_true(said);
    g_assert_true(write_something(store, 3));
    store_close(store);
    close(ready[0]);
    close(ready[1]);
}

/*
 * A guarded call that does not return leaves LMDB's writer mutex locked. Neither this process nor
 * another may hang on it: the whole test would, and time out.
 */
static void nobody_waits_for_a_wrecked_writer(void)
{
    g_autofree char *path = fresh_copy();
    bool said;
    struct store *store = open_damaged(path, &said);
    g_assert_true(write_something(store, 0));
    g_autofree char *file = g_build_filename(path, "index/data.mdb", NULL);
    g_assert_cmpint(truncate(file, 0), ==, 0); /* under our feet */
    check_answers(store);
    g_assert_false(write_something(store, 1));
    g_assert_false(write_something(store, 2));
    pid_t child = fork();
    if (child == 0) {
        struct store *other = store_open(path, &options, NULL, NULL);
        bool ok = other != NULL && !write_something(other, 3);
        store_close(other);
        _exit(ok ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    store_close(store);
    store = open_damaged(path, &said);
    g_assert_true(said);
    g_assert_true(write_something(store, 4));
    store_close(store);
}

static void on_signal(int number)
{
    _exit(0);
}

/* The guard must not swallow what is not the store's. */
static void a_fault_elsewhere_goes_where_it_went_before(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    signal(SIGSEGV, on_signal);
    g_autofree char *scratch = scratch_new();
    struct store *store = open_quietly(scratch, NULL);
    store_close(store);
    fd_remove_tree(AT_FDCWD, scratch, NULL);
    raise(SIGSEGV);
    _exit(1);
}

static void a_fault_that_nobody_handles_kills(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_failed();
        return;
    }
    signal(SIGBUS, SIG_DFL);
    g_autofree char *scratch = scratch_new();
    struct store *store = open_quietly(scratch, NULL);
    store_close(store);
    fd_remove_tree(AT_FDCWD, scratch, NULL);
    raise(SIGBUS);
    _exit(0);
}

static void tear_down_model(void)
{
    for (unsigned i = 0; i < BLOBS; i++)
        g_bytes_unref(model.blob[i]);
    for (unsigned i = 0; i < RECORDS; i++) {
        g_free(model.key[i]);
        g_free(model.record[i]);
    }
    scratch_free(model.scratch);
    g_free(model.pristine);
}

static void set_up_model(void)
{
    model.scratch = scratch_new();
    fill_model();
    g_autofree char *path = g_build_filename(model.scratch, "store", NULL);
    model.pristine = g_build_filename(model.scratch, "pristine", NULL);
    g_assert_cmpint(rename(path, model.pristine), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_test_subprocess())
        set_up_model();
    g_test_add_func("/store/damage/any-flipped-bit-of-the-index-is-survived",
                    any_flipped_bit_of_the_index_is_survived);
    g_test_add_func("/store/damage/every-bit-of-the-meta-pages-may-flip",
                    every_bit_of_the_meta_pages_may_flip);
    g_test_add_func("/store/damage/an-index-cut-anywhere-is-survived",
                    an_index_cut_anywhere_is_survived);
    g_test_add_func("/store/damage/damage-to-the-other-files-is-survived",
                    damage_to_the_other_files_is_survived);
    g_test_add_func("/store/damage/a-damaged-object-is-missing-and-comes-back",
                    a_damaged_object_is_missing_and_comes_back);
    g_test_add_func("/store/damage/a-flipped-bit-in-the-log-costs-one-entry",
                    a_flipped_bit_in_the_log_costs_one_entry);
    g_test_add_func("/store/damage/a-damaged-index-in-use-elsewhere-leaves-an-empty-store",
                    a_damaged_index_in_use_elsewhere_leaves_an_empty_store);
    g_test_add_func("/store/damage/nobody-waits-for-a-wrecked-writer",
                    nobody_waits_for_a_wrecked_writer);
    g_test_add_func("/store/damage/a-fault-elsewhere-goes-where-it-went-before",
                    a_fault_elsewhere_goes_where_it_went_before);
    g_test_add_func("/store/damage/a-fault-that-nobody-handles-kills",
                    a_fault_that_nobody_handles_kills);
    int result = g_test_run();
    if (!g_test_subprocess())
        tear_down_model();
    return result;
}
