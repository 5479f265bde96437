// SPDX-License-Identifier: Apache-2.0
/* Sights and hashes for the tests of trace/. */
#ifndef TEST_TRACE_SUPPORT_H
#define TEST_TRACE_SUPPORT_H

#include "trace/trace.h"

#include <string.h>

static inline struct trace_stamp stamp_of(guint64 inode, gint64 time)
{
    return (
        struct trace_stamp){ .device = 1, .inode = inode, .size = 3, .mtime = 1, .ctime = time };
}

/* The content of a host file in these tests is its inode and ctime. */
static inline void hash_stamps(struct seal_item *items, size_t count, void *user)
{
    guint *calls = user;
    for (size_t i = 0; i < count; i++) {
        guint64 content[] = { items[i].stamp.inode, (guint64)items[i].stamp.ctime };
        digest_of(content, sizeof content, &items[i].digest);
        items[i].outcome = SEAL_HASHED;
        g_assert_true(i == 0 || trace_compare_paths(items[i - 1].path, items[i].path) < 0);
    }
    if (calls != NULL)
        (*calls)++;
}

static inline void note_absent(struct recorder *recorder, const char *path, guint32 process)
{
    const struct sight sight = { .kind = TRACE_NOTHING };
    recorder_note(recorder, path, TRACE_ABSENT, process, &sight);
}

static inline void note_kind(struct recorder *recorder, const char *path, guint32 process,
                             enum trace_kind kind)
{
    const struct sight sight = { .kind = kind };
    recorder_note(recorder, path, TRACE_KIND, process, &sight);
}

static inline void note_host(struct recorder *recorder, const char *path, guint32 process,
                             struct trace_stamp stamp)
{
    const struct sight sight = { .kind = TRACE_FILE, .mode = S_IFREG | 0644, .stamp = &stamp };
    recorder_note(recorder, path, TRACE_CONTENT, process, &sight);
}

static inline void note_known(struct recorder *recorder, const char *path, guint32 process,
                              const char *content)
{
    struct digest digest;
    digest_of(content, strlen(content), &digest);
    const struct sight sight = { .kind = TRACE_FILE, .mode = S_IFREG | 0644, .digest = &digest };
    recorder_note(recorder, path, TRACE_CONTENT, process, &sight);
}

static inline void note_names(struct recorder *recorder, const char *path, guint32 process,
                              const char *names)
{
    struct digest digest;
    digest_of(names, strlen(names), &digest);
    const struct sight sight = { .kind = TRACE_DIRECTORY,
                                 .mode = S_IFDIR | 0755,
                                 .digest = &digest };
    recorder_note(recorder, path, TRACE_NAMES, process, &sight);
}

static inline void note_link(struct recorder *recorder, const char *path, guint32 process,
                             const char *target)
{
    const struct sight sight = { .kind = TRACE_LINK, .mode = S_IFLNK | 0777, .target = target };
    recorder_note(recorder, path, TRACE_TARGET, process, &sight);
}

static inline void note_time(struct recorder *recorder, const char *path, guint32 process,
                             gint64 time)
{
    const struct sight sight = { .kind = TRACE_FILE, .mode = S_IFREG | 0644, .time = time };
    recorder_note(recorder, path, TRACE_TIME, process, &sight);
}

static inline struct trace *sealed(struct recorder *recorder)
{
    return recorder_seal(recorder, hash_stamps, NULL);
}

static inline void assert_refusal(const struct trace *trace, const char *expected)
{
    g_autofree char *refusal = trace_refusal(trace);
    g_assert_cmpstr(refusal, ==, expected);
}

#endif
