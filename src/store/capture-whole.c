// SPDX-License-Identifier: Apache-2.0
/*
 * The digest of a whole directory, from one record while nothing in it has changed.
 *
 * store_capture() makes trees and looks at a record per directory; who wants to know only whether
 * /etc is what it was gets away with one lstat() per file and directory.
 *
 * Why the record is right when it is believed
 *  1. Its rows are taken down before the capture and compared again after it. None of them may be
 *     racy at that time. So the digest is that of the state that the rows tell apart.
 *  2. A row covers content and mode of its file, or the names in its directory: whatever changes
 *     these gives the inode another ctime. Links and special files are part of their directory.
 *  3. Below a directory that may not be read nothing is covered: it must be unreadable still.
 *  4. It is believed only by the run of the kernel that wrote it (see stat_is_settled).
 */
#include "base/fd.h"
#include "base/path.h"
#include "store/capture-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Beyond this the record costs more to read than it saves. */
#define ROWS_MAX 50000

/* --- records ---------------------------------------------------------------------------------- */

#define VERSION 1
#define HEADER_SIZE (1 + 8 + DIGEST_HASH_SIZE + 8 + 4)
#define NUMBERS_SIZE (4 + 4 * 8)

static void put_number(GByteArray *record, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(record, (const guint8 *)&value, sizeof value);
}

static void put_small(GByteArray *record, guint32 value)
{
    value = GUINT32_TO_LE(value);
    g_byte_array_append(record, (const guint8 *)&value, sizeof value);
}

GByteArray *whole_record_new(guint64 boot, const struct digest *digest, guint32 count)
{
    const guint8 version = VERSION;
    GByteArray *record = g_byte_array_new();
    g_byte_array_append(record, &version, 1);
    put_number(record, boot);
    g_byte_array_append(record, digest->hash, DIGEST_HASH_SIZE);
    put_number(record, (guint64)digest->size);
    put_small(record, count);
    return record;
}

void whole_record_add(GByteArray *record, const struct whole_row *row)
{
    put_small(record, row->mode);
    put_number(record, row->identity.inode);
    put_number(record, (guint64)row->identity.size);
    put_number(record, (guint64)row->identity.mtime);
    put_number(record, (guint64)row->identity.ctime);
    g_byte_array_append(record, (const guint8 *)row->path, (guint)strlen(row->path) + 1);
}

/* The caller has checked that the bytes are there. */
static guint64 take_number(struct whole_reader *reader)
{
    guint64 value;
    memcpy(&value, reader->at, sizeof value);
    reader->at += sizeof value;
    return GUINT64_FROM_LE(value);
}

static guint32 take_small(struct whole_reader *reader)
{
    guint32 value;
    memcpy(&value, reader->at, sizeof value);
    reader->at += sizeof value;
    return GUINT32_FROM_LE(value);
}

void whole_reader_init(struct whole_reader *reader, GBytes *record)
{
    gsize size;
    *reader = (struct whole_reader){ .at = g_bytes_get_data(record, &size) };
    reader->end = reader->at + size;
    reader->failed = size < HEADER_SIZE || *reader->at++ != VERSION;
    if (reader->failed)
        return;
    reader->boot = take_number(reader);
    memcpy(reader->digest.hash, reader->at, DIGEST_HASH_SIZE);
    reader->at += DIGEST_HASH_SIZE;
    reader->digest.size = (gint64)take_number(reader);
    reader->left = take_small(reader);
    reader->failed = reader->digest.size < 0 || reader->left == 0;
}

bool whole_reader_next(struct whole_reader *reader, struct whole_row *out)
{
    if (reader->failed || reader->left == 0)
        return false;
    size_t size = (size_t)(reader->end - reader->at);
    const guint8 *end =
        size <= NUMBERS_SIZE ? NULL : memchr(reader->at + NUMBERS_SIZE, '\0', size - NUMBERS_SIZE);
    reader->left--;
    reader->failed = end == NULL || (reader->left == 0 && end + 1 != reader->end);
    if (reader->failed)
        return false;
    out->mode = take_small(reader);
    out->identity.inode = take_number(reader);
    out->identity.size = (gint64)take_number(reader);
    out->identity.mtime = (gint64)take_number(reader);
    out->identity.ctime = (gint64)take_number(reader);
    out->path = (const char *)reader->at;
    reader->at = end + 1;
    return true;
}

/* --- is it still so? -------------------------------------------------------------------------- */

static bool is_unreadable(int root, const char *path)
{
    return faccessat(root, *path == '\0' ? "." : path, R_OK, AT_EACCESS) < 0 && errno == EACCES;
}

static bool row_stands(int root, guint64 device, const struct whole_row *row)
{
    struct stat status;
    struct stat_identity identity;
    if (fstatat(root, row->path, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return false;
    stat_identify(&status, &identity);
    return status.st_dev == device && status.st_mode == (row->mode & ~WHOLE_UNREADABLE) &&
           stat_matches(&row->identity, &identity) &&
           ((row->mode & WHOLE_UNREADABLE) == 0 || is_unreadable(root, row->path));
}

static bool record_stands(int root, guint64 device, GBytes *record, struct digest *out)
{
    struct whole_reader reader;
    struct whole_row row;
    whole_reader_init(&reader, record);
    if (reader.failed || reader.boot != stat_boot() || reader.boot == 0)
        return false;
    while (whole_reader_next(&reader, &row))
        if (!row_stands(root, device, &row))
            return false;
    *out = reader.digest;
    return !reader.failed;
}

/* --- taking it down --------------------------------------------------------------------------- */

struct survey {
    const struct capture_request *request;
    guint64 device;
    gint64 began;
    struct stat_clock clock;
    GByteArray *rows;
    guint32 count;
    GPtrArray *queue; /* of paths: directories */
};

/* False: no record can be made, now or ever. */
static bool add_row(struct survey *survey, const char *path, const struct stat *status,
                    guint32 flags)
{
    struct whole_row row = { .mode = status->st_mode | flags, .path = path };
    stat_identify(status, &row.identity);
    if (status->st_dev != survey->device || survey->count == ROWS_MAX || strlen(path) >= PATH_MAX ||
        stat_is_racy(&row.identity, survey->began, &survey->clock))
        return false;
    whole_record_add(survey->rows, &row);
    survey->count++;
    return true;
}

static bool is_wanted(const struct survey *survey, const char *path, bool is_directory)
{
    const struct glob *select = survey->request->select;
    return select == NULL || glob_match(select, path, is_directory) ||
           (is_directory && glob_may_match_below(select, path));
}

static bool survey_entry(struct survey *survey, int directory, const char *name, const char *path)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (S_ISLNK(status.st_mode) || !is_wanted(survey, path, S_ISDIR(status.st_mode)))
        return true;
    if (!S_ISDIR(status.st_mode))
        return add_row(survey, path, &status, 0);
    g_ptr_array_add(survey->queue, g_strdup(path)); /* has its row when it is opened */
    return true;
}

static bool survey_unreadable(struct survey *survey, const char *path)
{
    struct stat status;
    return errno == EACCES &&
           fstatat(survey->request->directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_unreadable(survey->request->directory, path) &&
           add_row(survey, path, &status, WHOLE_UNREADABLE);
}

static bool survey_directory(struct survey *survey, const char *path)
{
    struct stat status;
    int directory =
        capture_open(survey->request->directory, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (directory < 0)
        return survey_unreadable(survey, path);
    DIR *stream = fdopendir(directory);
    if (stream == NULL) {
        fd_close(&directory);
        return false;
    }
    bool ok = fstat(directory, &status) == 0 && add_row(survey, path, &status, 0);
    const struct dirent *entry;
    while (ok && (errno = 0, entry = readdir(stream)) != NULL) {
        g_autofree char *below = path_join(path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = survey_entry(survey, directory, entry->d_name, below);
    }
    ok = ok && errno == 0;
    closedir(stream);
    return ok;
}

/* Rows for all that the selection reaches; NULL if they could not tell every change. */
static GByteArray *survey_all(struct survey *survey)
{
    survey->clock = stat_clock(survey->request->directory);
    survey->rows = g_byte_array_new();
    survey->queue = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(survey->queue, g_strdup(""));
    bool ok = survey->clock.listings;
    for (guint i = 0; ok && i < survey->queue->len; i++)
        ok = survey_directory(survey, survey->queue->pdata[i]);
    g_ptr_array_unref(survey->queue);
    if (!ok)
        g_clear_pointer(&survey->rows, g_byte_array_unref);
    return survey->rows;
}

/* --- the digest ------------------------------------------------------------------------------- */

/* Of the tree, and of what is there beside it. */
static void digest_capture(const struct capture *capture, struct digest *out)
{
    struct digest_context context;
    *out = *tree_digest(capture->tree);
    if (capture->unsupported->len == 0)
        return;
    digest_init(&context);
    digest_update(&context, out->hash, sizeof out->hash);
    for (guint i = 0; i < capture->unsupported->len; i++) {
        const char *text = capture->unsupported->pdata[i];
        digest_update(&context, text, strlen(text) + 1);
    }
    digest_finish(&context, out);
}

static void make_key(const struct capture_request *request, const struct stat *status,
                     guint8 key[WHOLE_KEY_SIZE])
{
    g_autoptr(GByteArray) selection = g_byte_array_sized_new(64);
    struct digest digest;
    stat_cache_key(key, status->st_dev, status->st_ino);
    if (request->select != NULL)
        glob_encode(request->select, selection);
    digest_of(selection->data, selection->len, &digest);
    memcpy(key + STAT_KEY_SIZE, digest.hash, DIGEST_HASH_SIZE);
}

bool whole_recall(const struct capture_request *request, struct digest *out)
{
    guint8 key[WHOLE_KEY_SIZE];
    struct stat status;
    if (fstat(request->directory, &status) < 0)
        return false;
    make_key(request, &status, key);
    g_autoptr(GBytes) record = stat_cache_get_key(request->cache, key, sizeof key);
    return record != NULL && record_stands(request->directory, status.st_dev, record, out);
}

bool store_digest_directory(const struct capture_request *request, struct digest *out,
                            GError **error)
{
    guint8 key[WHOLE_KEY_SIZE];
    struct stat status;
    struct digest same;
    struct capture capture = { 0 };
    if (whole_recall(request, out))
        return true;
    struct survey survey = { .request = request, .began = stat_now() };
    g_autoptr(GByteArray) rows = NULL;
    if (fstat(request->directory, &status) == 0) {
        survey.device = status.st_dev;
        rows = survey_all(&survey);
    }
    if (!store_capture(NULL, request, &capture, error))
        return false;
    digest_capture(&capture, out);
    capture_clear(&capture);
    if (rows == NULL)
        return true;
    GByteArray *record = whole_record_new(stat_boot(), out, survey.count);
    g_byte_array_append(record, rows->data, rows->len);
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(record);
    if (!record_stands(request->directory, status.st_dev, bytes, &same))
        return true; /* something changed meanwhile: what the digest is of, nobody knows */
    make_key(request, &status, key);
    stat_cache_put_key(request->cache, key, sizeof key, bytes);
    return true;
}
