// SPDX-License-Identifier: Apache-2.0
/* What the tests of the store share: putting, committing and checking in one line each. */
#ifndef TEST_STORE_TEST_H
#define TEST_STORE_TEST_H

#include "base/fault.h"
#include "base/fd.h"
#include "store/store.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

G_GNUC_UNUSED static void put(struct store_batch *batch, const char *text, struct digest *out)
{
    g_autoptr(GError) error = NULL;
    store_batch_put(batch, text, strlen(text), out, &error);
    g_assert_no_error(error);
}

G_GNUC_UNUSED static void put_record(struct store_batch *batch, const char *key, const char *value)
{
    g_autoptr(GBytes) bytes = value != NULL ? g_bytes_new(value, strlen(value)) : NULL;
    store_batch_put_record(batch, STORE_MEMO, key, strlen(key), bytes);
}

G_GNUC_UNUSED static void commit(struct store_batch *batch)
{
    g_autoptr(GError) error = NULL;
    store_batch_commit(batch, &error);
    g_assert_no_error(error);
}

G_GNUC_UNUSED static void assert_bytes(GBytes *bytes, const char *text)
{
    g_assert_nonnull(bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), (int)g_bytes_get_size(bytes), text,
                    (int)strlen(text));
}

/* `value` NULL: there must be no such record. */
G_GNUC_UNUSED static void assert_record(struct store *store, const char *key, const char *value)
{
    g_autoptr(GBytes) found = store_record_get(store, STORE_MEMO, key, strlen(key));
    if (value == NULL)
        g_assert_null(found);
    else
        assert_bytes(found, value);
}

G_GNUC_UNUSED static void assert_blob(struct store *store, const struct digest *digest,
                                      const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) found = store_get(store, digest, &error);
    g_assert_no_error(error);
    assert_bytes(found, text);
}

/* A new temporary directory, in memory if that can be (syncing costs nothing there). */
G_GNUC_UNUSED static char *scratch_new(void)
{
    g_autoptr(GError) error = NULL;
    char *path = g_strdup("/dev/shm/vial-store-XXXXXX");
    if (g_mkdtemp(path) != NULL)
        return path;
    g_free(path);
    path = g_dir_make_tmp("vial-store-XXXXXX", &error);
    g_assert_no_error(error);
    return path;
}

G_GNUC_UNUSED static void scratch_free(char *path)
{
    g_autoptr(GError) error = NULL;
    fd_remove_tree(AT_FDCWD, path, &error);
    g_assert_no_error(error);
    g_free(path);
}

/* Open the store "store" in `scratch`, which must succeed without a word. */
G_GNUC_UNUSED static struct store *open_quietly(const char *scratch,
                                                const struct store_options *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *notice = NULL;
    g_autofree char *path = g_build_filename(scratch, "store", NULL);
    struct store *store = store_open(path, options, &notice, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(notice, ==, NULL);
    return store;
}

#endif
