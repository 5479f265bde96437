// SPDX-License-Identifier: Apache-2.0
/*
 * Opening a store on a full disk, and while another process makes it larger.
 *
 * The disk is a tmpfs of our own, in a mount namespace of our own.
 */
#include "store-test.h"

#include <errno.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

static const struct store_options options = { .map_size = 64 << 10, .inline_limit = 2000 };

static char *mount_point;

/* Ten blobs of which every fourth is a file, a record and a line of the log. */
static bool write_something(struct store *store, unsigned number, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    for (unsigned i = 0; i < 10; i++) {
        struct digest digest;
        g_autofree char *text =
            g_strdup_printf("%u %u %0*d", number, i, i % 4 == 0 ? 3000 : (int)(i * 97), 0);
        if (!store_batch_put(batch, text, strlen(text), &digest, error))
            return false;
    }
    g_autofree char *key = g_strdup_printf("round %u", number);
    g_autoptr(GBytes) entry = g_bytes_new_static("run", 3);
    put_record(batch, key, "done");
    return store_batch_commit(batch, error) && store_log_append(store, entry, error);
}

static struct store *open_here(GError **error)
{
    g_autofree char *path = g_build_filename(mount_point, "store", NULL);
    g_autofree char *notice = NULL;
    struct store *store = store_open(path, &options, &notice, error);
    g_assert_cmpstr(notice, ==, NULL);
    return store;
}

static void assert_full(GError *error)
{
    if (error != NULL)
        g_assert_error(error, FAULT, FAULT_NO_SPACE);
}

/* --- a full disk ------------------------------------------------------------------------------ */

static bool have_disk(void)
{
    if (mount_point == NULL)
        g_test_skip("no mount namespace");
    return mount_point != NULL;
}

static void mount_disk(void)
{
    g_assert_cmpint(mount("none", mount_point, "tmpfs", 0, "size=4m"), ==, 0);
}

static void unmount_disk(void)
{
    g_assert_cmpint(umount2(mount_point, MNT_DETACH), ==, 0);
}

/* Room for what the store itself has grown to. */
static void enlarge_disk(void)
{
    g_assert_cmpint(mount("none", mount_point, "tmpfs", MS_REMOUNT, "size=64m"), ==, 0);
}

static int open_ballast(void)
{
    g_autofree char *path = g_build_filename(mount_point, "ballast", NULL);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    g_assert_cmpint(file, >=, 0);
    return file;
}

static void fill_up_to(int ballast, unsigned free_pages)
{
    struct statvfs disk;
    g_assert_cmpint(fstatvfs(ballast, &disk), ==, 0);
    off_t size = (off_t)((disk.f_bavail - free_pages) * disk.f_bsize);
    g_assert_cmpint(posix_fallocate(ballast, 0, size), ==, 0);
}

static void assert_all_is_well(unsigned number)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = open_here(&error);
    g_assert_no_error(error);
    write_something(store, number, &error);
    g_assert_no_error(error);
    struct store_verify_result result;
    store_verify(store, false, NULL, NULL, &result, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(result.damaged, ==, 0);
}

/* Wherever the room ends while a store is made and written to, it is no damage. */
static void a_disk_that_ends_at_any_page_leaves_no_damage(void)
{
    unsigned full = 0;
    for (unsigned pages = 0; have_disk() && pages < 150; pages++) {
        mount_disk();
        autofd int ballast = open_ballast();
        fill_up_to(ballast, pages);
        for (unsigned attempt = 0; attempt < 3; attempt++) {
            g_autoptr(GError) error = NULL;
            g_autoptr(store) store = open_here(&error);
            if (store != NULL)
                write_something(store, attempt, &error);
            assert_full(error);
            full += error != NULL;
        }
        g_assert_cmpint(ftruncate(ballast, 0), ==, 0);
        assert_all_is_well(3);
        unmount_disk();
    }
    g_test_message("%u times full", full);
    g_assert_true(mount_point == NULL || full > 100);
}

/*
 * Takes all the room and gives some of it back, again and again: less than what the store takes for
 * a full disk when LMDB says EIO.
 */
static void take_and_give(void)
{
    static char block[64 << 10];
    int ballast = open_ballast();
    g_autoptr(GRand) random = g_rand_new_with_seed(5);
    for (;;) {
        while (write(ballast, block, g_rand_boolean(random) ? 4096 : sizeof block) > 0)
            ;
        off_t size = lseek(ballast, 0, SEEK_END);
        off_t less = (off_t)g_rand_int_range(random, 0, 200) * 4096;
        if (ftruncate(ballast, MAX(0, size - less)) < 0 || lseek(ballast, 0, SEEK_END) < 0)
            _exit(1);
    }
}

/* done[i] is set if round i got through. */
static void write_rounds(unsigned which, unsigned rounds, volatile bool *done)
{
    for (unsigned round = which; round < rounds; round += 2) {
        g_autoptr(GError) error = NULL;
        g_autoptr(store) store = open_here(&error);
        done[round] = store != NULL && write_something(store, round, &error);
        assert_full(error);
    }
}

static void two_writers_on_a_disk_that_fills_and_empties(void)
{
    enum {
        ROUNDS = 400
    };
    if (!have_disk())
        return;
    mount_disk();
    volatile bool *done =
        mmap(NULL, ROUNDS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t filler = fork(), writers[2];
    if (filler == 0)
        take_and_give();
    for (unsigned which = 0; which < 2; which++)
        if ((writers[which] = fork()) == 0) {
            write_rounds(which, ROUNDS, done);
            _exit(0);
        }
    int status;
    for (unsigned which = 0; which < 2; which++) {
        g_assert_cmpint(waitpid(writers[which], &status, 0), ==, writers[which]);
        g_assert_cmpint(status, ==, 0);
    }
    g_assert_cmpint(kill(filler, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(filler, &status, 0), ==, filler);
    enlarge_disk();
    assert_all_is_well(ROUNDS);
    g_autoptr(store) store = open_here(NULL);
    unsigned through = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        g_autofree char *key = g_strdup_printf("round %u", round);
        if (done[round])
            assert_record(store, key, "done");
        through += done[round];
    }
    g_test_message("%u rounds of %u got through", through, ROUNDS);
    munmap((void *)done, ROUNDS);
    unmount_disk();
}

/* --- growth ----------------------------------------------------------------------------------- */

static int grow_now = -1; /* tells `grower` to make the store larger, at this moment */
static pid_t grower;

static bool make_larger(const char *path)
{
    g_autoptr(store) store = store_open(path, &options, NULL, NULL);
    g_autoptr(store_batch) batch = store_batch_new(store);
    for (unsigned i = 0; i < 400; i++) {
        g_autofree char *key = g_strdup_printf("key %u %0200d", i, 0);
        put_record(batch, key, "value");
    }
    return store_batch_commit(batch, NULL);
}

/* It is there before the store is open in this process. */
static void start_grower(const char *path)
{
    int ends[2];
    char byte;
    g_assert_cmpint(pipe(ends), ==, 0);
    if ((grower = fork()) == 0)
        _exit(close(ends[1]) == 0 && read(ends[0], &byte, 1) == 1 && make_larger(path) ? 0 : 1);
    g_assert_cmpint(close(ends[0]), ==, 0);
    grow_now = ends[1];
}

/*
 * In place of LMDB's for the store's calls: between the opening and the first transaction. The
 * linker does this (--wrap), for LMDB may be a static library.
 */
int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int status;
    if (grow_now >= 0) {
        g_assert_cmpint(write(grow_now, "x", 1), ==, 1);
        g_assert_cmpint(close(grow_now), ==, 0);
        grow_now = -1;
        g_assert_cmpint(waitpid(grower, &status, 0), ==, grower);
        g_assert_cmpint(status, ==, 0);
    }
    return __real_mdb_txn_begin(env, parent, flags, txn);
}

static void an_index_that_grows_while_it_is_opened(void)
{
    char *scratch = scratch_new();
    g_autofree char *path = g_build_filename(scratch, "store", NULL);
    store_close(open_quietly(scratch, &options));
    start_grower(path);
    struct store *store = open_quietly(scratch, &options);
    g_assert_cmpint(grow_now, ==, -1);
    g_autofree char *key = g_strdup_printf("key 399 %0200d", 0);
    assert_record(store, key, "value");
    store_close(store);
    scratch_free(scratch);
}

/* --- the disk --------------------------------------------------------------------------------- */

static bool write_text(const char *path, const char *text)
{
    autofd int file = open(path, O_WRONLY | O_CLOEXEC);
    return file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Where mounting is allowed and seen by nobody else. */
static bool enter_namespace(void)
{
    uid_t user = getuid();
    if (user == 0)
        return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    g_autofree char *users = g_strdup_printf("0 %u 1", user);
    g_autofree char *groups = g_strdup_printf("0 %u 1", getgid());
    return unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    char *scratch = enter_namespace() ? scratch_new() : NULL;
    mount_point = scratch;
    g_test_add_func("/store/opening/a-disk-that-ends-at-any-page-leaves-no-damage",
                    a_disk_that_ends_at_any_page_leaves_no_damage);
    g_test_add_func("/store/opening/two-writers-on-a-disk-that-fills-and-empties",
                    two_writers_on_a_disk_that_fills_and_empties);
    g_test_add_func("/store/opening/an-index-that-grows-while-it-is-opened",
                    an_index_that_grows_while_it_is_opened);
    int result = g_test_run();
    if (scratch != NULL)
        scratch_free(scratch);
    return result;
}
