// SPDX-License-Identifier: Apache-2.0
/* Several processes on one store, and processes that die at any moment. */
#include "store-test.h"

#include <signal.h>
#include <sys/mman.h>
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

/* Small blobs in the index, some files, a map that grows: all of it within a few commits. */
static const struct store_options options = { .map_size = 64 << 10, .inline_limit = 2000 };

/* Blob `number`: every fourth is a file. */
static GBytes *content(unsigned number)
{
    gsize size = number % 4 == 0 ? 3000 + number % 500 : 20 + number % 700;
    guint8 *data = g_malloc(size);
    for (gsize i = 0; i < size; i++)
        data[i] = (guint8)(number * 31 + i * i);
    memcpy(data, &number, sizeof number);
    return g_bytes_new_take(data, size);
}

static bool put_content(struct store_batch *batch, unsigned number, struct digest *digest)
{
    g_autoptr(GBytes) bytes = content(number);
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    return store_batch_put(batch, data, size, digest, NULL);
}

static bool holds_content(struct store *store, unsigned number)
{
    g_autoptr(GBytes) expected = content(number);
    struct digest digest;
    digest_of_bytes(expected, &digest);
    g_autoptr(GBytes) found = store_get(store, &digest, NULL);
    return found != NULL && g_bytes_equal(found, expected);
}

static void report(const char *what, void *user)
{
    g_test_message("%s", what);
}

static void assert_sound(struct store *store)
{
    struct store_verify_result result;
    g_autoptr(GError) error = NULL;
    store_verify(store, false, report, NULL, &result, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(result.damaged, ==, 0);
}

/* --- two writers ------------------------------------------------------------------------------ */

/* Writer `which` puts the common blobs 1000.. and ten of its own, and says so in a record. */
static bool write_round(const char *path, unsigned which, unsigned round)
{
    g_autoptr(store) store = store_open(path, &options, NULL, NULL);
    g_autoptr(store_batch) batch = store != NULL ? store_batch_new(store) : NULL;
    struct digest digest;
    bool ok = batch != NULL;
    for (unsigned i = 0; ok && i < 10; i++)
        ok = put_content(batch, 1000 + round * 10 + i, &digest) &&
             put_content(batch, 100000 * (which + 1) + round * 10 + i, &digest);
    g_autofree char *key = g_strdup_printf("%u %u", which, round);
    if (ok)
        put_record(batch, key, "done");
    GBytes *entry = g_bytes_new_static("run", 3);
    ok = ok && store_batch_commit(batch, NULL) && store_log_append(store, entry, NULL);
    g_bytes_unref(entry);
    return ok;
}

static bool count_entry(GBytes *entry, void *user)
{
    (*(unsigned *)user)++;
    return true;
}

static void two_writers_a_hundred_times(struct place *place, const void *data)
{
    enum {
        ROUNDS = 100
    };
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t writers[2];
        for (unsigned which = 0; which < 2; which++)
            if ((writers[which] = fork()) == 0)
                _exit(write_round(place->path, which, round) ? 0 : 1);
        for (unsigned which = 0; which < 2; which++) {
            int status;
            g_assert_cmpint(waitpid(writers[which], &status, 0), ==, writers[which]);
            g_assert_cmpint(status, ==, 0);
        }
    }
    g_autoptr(store) store = open_quietly(place->scratch, &options);
    for (unsigned i = 0; i < ROUNDS * 10; i++) {
        g_assert_true(holds_content(store, 1000 + i));
        g_assert_true(holds_content(store, 100000 + i));
        g_assert_true(holds_content(store, 200000 + i));
    }
    unsigned entries = 0;
    store_log_each(store, count_entry, &entries);
    g_assert_cmpuint(entries, ==, 2 * ROUNDS);
    assert_sound(store);
}

/* --- sudden death ----------------------------------------------------------------------------- */

/* Commits for ever; *done is the number of the last commit that returned. */
static void write_until_killed(const char *path, unsigned from, volatile unsigned *done)
{
    g_autoptr(store) store = store_open(path, &options, NULL, NULL);
    g_autoptr(store_batch) batch = store_batch_new(store);
    for (unsigned number = from;; number++) {
        struct digest digest;
        g_autofree char *key = g_strdup_printf("commit %u", number);
        for (unsigned i = 0; i < 3; i++)
            if (!put_content(batch, number * 3 + i, &digest))
                _exit(1);
        put_record(batch, key, "complete");
        if (!store_batch_commit(batch, NULL))
            _exit(1);
        *done = number;
    }
}

static void check_commits(struct store *store, unsigned from, unsigned to)
{
    for (unsigned number = from; number <= to; number++) {
        g_autofree char *key = g_strdup_printf("commit %u", number);
        assert_record(store, key, "complete");
        for (unsigned i = 0; i < 3; i++)
            g_assert_true(holds_content(store, number * 3 + i));
    }
    /* the one under way is there as a whole or not at all */
    g_autofree char *key = g_strdup_printf("commit %u", to + 1);
    g_autoptr(GBytes) next = store_record_get(store, STORE_MEMO, key, strlen(key));
    for (unsigned i = 0; next != NULL && i < 3; i++)
        g_assert_true(holds_content(store, (to + 1) * 3 + i));
}

static bool nothing_is_described(enum store_table table, GBytes *key, GBytes *value,
                                 struct store_reference *out, void *user)
{
    return false;
}

static unsigned files_in(const char *path)
{
    g_autoptr(GDir) names = g_dir_open(path, 0, NULL);
    unsigned count = 0;
    while (names != NULL && g_dir_read_name(names) != NULL)
        count++;
    return count;
}

static void death_at_any_moment_loses_no_commit(struct place *place, const void *data)
{
    volatile unsigned *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_autoptr(GRand) random = g_rand_new_with_seed(3);
    unsigned next = 1, fruitful = 0;
    gint32 longest = 4000; /* microseconds; more where that is too short to get anything done */
    for (int trial = 0; trial < 200; trial++) {
        *done = next - 1;
        pid_t child = fork();
        if (child == 0)
            write_until_killed(place->path, next, done);
        g_usleep(
            (gulong)g_rand_int_range(random, 0, longest)); /* the moment is the test's subject */
        g_assert_cmpint(kill(child, SIGKILL), ==, 0);
        int status;
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFSIGNALED(status));
        g_autoptr(store) store = open_quietly(place->scratch, &options);
        check_commits(store, next, *done);
        fruitful += *done >= next;
        longest += *done >= next ? 0 : 500;
        next = *done + 2;
    }
    g_assert_cmpuint(fruitful, >, 50);
    munmap((void *)done, sizeof *done);

    g_autoptr(store) store = open_quietly(place->scratch, &options);
    assert_sound(store);
    struct store_gc_result result;
    g_assert_true(store_gc(store, 0, nothing_is_described, NULL, &result, NULL));
    g_autofree char *temporary = g_build_filename(place->path, "tmp", NULL);
    g_assert_cmpuint(files_in(temporary), ==, 0);
}

/* --- claims ----------------------------------------------------------------------------------- */

static void a_claim_ends_with_its_process(struct place *place, const void *data)
{
    struct digest key;
    digest_of("action", 6, &key);
    int ready[2];
    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        bool waited;
        struct store *store = store_open(place->path, NULL, NULL, NULL);
        struct store_claim *claim = store_claim(store, &key, NULL, &waited, NULL);
        if (claim == NULL || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    char byte;
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    g_autoptr(store) store = open_quietly(place->scratch, NULL);
    bool waited;
    volatile int cancel = 1;
    g_autoptr(GError) error = NULL;
    g_assert_null(store_claim(store, &key, &cancel, &waited, &error));
    g_assert_error(error, FAULT, FAULT_CANCELLED);
    g_assert_true(waited);
    g_assert_cmpint(kill(child, SIGKILL), ==, 0);
    struct store_claim *claim = store_claim(store, &key, NULL, &waited, NULL);
    g_assert_nonnull(claim);
    store_claim_release(claim);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    close(ready[0]);
    close(ready[1]);
}

/* --- collection beside writers ---------------------------------------------------------------- */

/* Puts the same few blobs again and again; a commit that fails for a collected one is retried. */
static bool put_against_collector(const char *path)
{
    g_autoptr(store) store = store_open(path, &options, NULL, NULL);
    g_autoptr(store_batch) batch = store_batch_new(store);
    for (unsigned round = 0; round < 150; round++) {
        g_autoptr(GError) error = NULL;
        bool ok;
        do {
            struct digest digest;
            g_clear_error(&error);
            for (unsigned i = 0; i < 8; i++)
                if (!put_content(batch, (round + i) % 20, &digest))
                    return false;
            put_record(batch, "key", "names them");
            ok = store_batch_commit(batch, &error);
        } while (!ok && g_error_matches(error, FAULT, FAULT_MISSING));
        if (!ok) {
            g_printerr("%s\n", error->message);
            return false;
        }
    }
    return true;
}

static void a_collector_beside_two_writers(struct place *place, const void *data)
{
    pid_t writers[2];
    for (unsigned which = 0; which < 2; which++)
        if ((writers[which] = fork()) == 0)
            _exit(put_against_collector(place->path) ? 0 : 1);
    g_autoptr(store) store = open_quietly(place->scratch, &options);
    guint64 removed = 0;
    int running = 2, status;
    while (running > 0) {
        struct store_gc_result result;
        g_autoptr(GError) error = NULL;
        store_gc(store, 0, nothing_is_described, NULL, &result, &error);
        g_assert_no_error(error);
        removed += result.blobs_removed;
        while (running > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            g_assert_cmpint(status, ==, 0);
            running--;
        }
    }
    g_assert_cmpuint(removed, >, 0);
    assert_sound(store);
}

static const struct {
    const char *name;
    void (*run)(struct place *place, const void *data);
} tests[] = {
    { "two-writers-a-hundred-times", two_writers_a_hundred_times },
    { "death-at-any-moment-loses-no-commit", death_at_any_moment_loses_no_commit },
    { "a-claim-ends-with-its-process", a_claim_ends_with_its_process },
    { "a-collector-beside-two-writers", a_collector_beside_two_writers },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/store/processes/", tests[i].name, NULL);
        g_test_add(path, struct place, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
