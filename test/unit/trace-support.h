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

/* NULL: there are none. */
static inline void note_xattrs(struct recorder *recorder, const char *path, guint32 process,
                               enum trace_kind kind, const char *xattrs)
{
    const struct sight sight = { .kind = kind, .xattrs = xattrs };
    recorder_note(recorder, path, TRACE_XATTRS, process, &sight);
}

/* In place of the hashes of extended attributes. */
#define SOME_XATTRS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_XATTRS "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static inline const char *random_xattrs(GRand *random)
{
    static const char *const all[] = { NULL, SOME_XATTRS, OTHER_XATTRS };
    return all[g_rand_int_range(random, 0, G_N_ELEMENTS(all))];
}

static inline struct trace *sealed(struct recorder *recorder)
{
    return recorder_seal(recorder, hash_stamps, NULL);
}

/* --- random traces ---------------------------------------------------------------------------- */

static const char *const support_names[] = { "a", "b", "a-b", "\xc3\xa9", "\xff\n", "x.c", "d" };

/* A directory is called d, so that paths are no nonsense. */
static inline char *random_path(GRand *random, const char *root)
{
    GString *path = g_string_new(g_rand_int_range(random, 0, 4) == 0 ? "" : root);
    for (int i = g_rand_int_range(random, 0, 3); i > 0; i--)
        g_string_append(path, "/d");
    g_string_append_printf(path, "/%s",
                           support_names[g_rand_int_range(random, 0, G_N_ELEMENTS(support_names))]);
    return g_string_free(path, FALSE);
}

static inline struct digest small_digest(guint number)
{
    struct digest digest;
    digest_of("some text to take some of", number % 20, &digest);
    return digest;
}

static inline void note_at_random(struct recorder *recorder, GRand *random, guint processes)
{
    g_autofree char *path = random_path(random, "/w");
    struct trace_stamp stamp = stamp_of(g_rand_int_range(random, 0, 4), 1);
    struct digest digest = small_digest(g_rand_int_range(random, 0, 9));
    g_autofree char *target = random_path(random, "");
    const struct sight sight = {
        .kind = (enum trace_kind)g_rand_int_range(random, 0, TRACE_UNREACHABLE + 1),
        .mode = (guint32)g_rand_int_range(random, 0, 1 << 16),
        .stamp = g_rand_boolean(random) ? &stamp : NULL,
        .digest = g_rand_boolean(random) ? &digest : NULL,
        .target = target,
        .time = g_rand_int_range(random, -3, 3),
        .xattrs = random_xattrs(random),
    };
    recorder_note(recorder, path, (unsigned)g_rand_int_range(random, 0, 1 << TRACE_ASPECTS),
                  (guint32)g_rand_int_range(random, 0, (int)processes + 1), &sight);
}

/* Anything that a recorder can be told, stable or not. */
static inline struct trace *random_trace(GRand *random)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    guint processes = (guint)g_rand_int_range(random, 0, 6);
    for (guint i = 0; i < processes; i++) {
        char *list[] = { (char *)support_names[g_rand_int_range(random, 0, 3)], "", "X=\xfe",
                         NULL };
        const struct trace_process process = {
            .pid = g_rand_int(random),
            .start = (guint64)g_rand_int(random) << 20,
            .parent = (guint32)g_rand_int_range(random, 0, (int)i + 1),
            .argv = g_rand_boolean(random) ? list : NULL,
            .environment = g_rand_boolean(random) ? list + 1 : NULL,
            .directory = g_rand_boolean(random) ? "/w/\xff" : NULL,
            .program = g_rand_boolean(random) ? "/bin/sh" : NULL,
        };
        recorder_process(recorder, &process);
    }
    for (int i = g_rand_int_range(random, 0, 60); i > 0; i--)
        note_at_random(recorder, random, processes);
    for (int i = g_rand_int_range(random, 0, 9); i > 0; i--) {
        g_autofree char *path = random_path(random, "/w");
        recorder_write(recorder, path, (guint32)g_rand_int_range(random, 0, (int)processes + 1),
                       (unsigned)g_rand_int_range(random, 1, 32));
    }
    if (g_rand_int_range(random, 0, 4) == 0)
        recorder_uncacheable(recorder, "it used the network");
    return sealed(recorder);
}

/* --- states that are tables ------------------------------------------------------------------ */

static inline void put_file(struct trace_state *state, const char *path, const char *content,
                            gint64 time)
{
    struct trace_value value = { .kind = TRACE_FILE, .mode = 0644, .time = time };
    digest_of(content, strlen(content), &value.digest);
    trace_memory_state_put(state, path, &value);
}

static inline void put_directory(struct trace_state *state, const char *path)
{
    const struct trace_value value = { .kind = TRACE_DIRECTORY, .mode = 0755 };
    trace_memory_state_put(state, path, &value);
}

static inline void put_link(struct trace_state *state, const char *path, const char *target)
{
    const struct trace_value value = { .kind = TRACE_LINK, .mode = 0777, .target = target };
    trace_memory_state_put(state, path, &value);
}

static inline void put_nothing(struct trace_state *state, const char *path)
{
    const struct trace_value value = { .kind = TRACE_NOTHING };
    trace_memory_state_put(state, path, &value);
}

/* Note of `path` (as traces keep it) what the state says: as a view would. */
static inline void note_from(struct recorder *recorder, struct trace_state *state, const char *path,
                             unsigned aspects)
{
    const struct trace_question question = { path, aspects | TRACE_KIND };
    struct trace_value answer = { 0 };
    g_assert_true(state->operations->look_up(state, &question, 1, &answer, NULL));
    const struct sight sight = { .kind = answer.kind,
                                 .mode = answer.mode,
                                 .digest = answer.unreadable ? NULL : &answer.digest,
                                 .target = answer.target,
                                 .time = answer.time,
                                 .xattrs = answer.xattrs };
    g_autofree char *absolute = path[0] == '/' ? g_strdup(path) : g_strconcat("/w/", path, NULL);
    if (path[0] == '\0')
        absolute[2] = '\0';
    recorder_note(recorder, absolute, aspects, 0, &sight);
}

static inline GByteArray *evaluated(const struct path_set *set, struct trace_state *state)
{
    g_autoptr(GError) error = NULL;
    GByteArray *values = g_byte_array_new();
    g_assert_true(path_set_evaluate(set, state, values, &error));
    g_assert_no_error(error);
    return values;
}

static inline bool same_bytes(const GByteArray *a, const GByteArray *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static inline void put_at_random(struct trace_state *state, GRand *random)
{
    g_autofree char *path = random_path(random, "");
    struct trace_value value = {
        .kind = (enum trace_kind)g_rand_int_range(random, 0, TRACE_UNREACHABLE + 1),
        .mode = g_rand_boolean(random) ? 0644 : 0755,
        .unreadable = g_rand_int_range(random, 0, 8) == 0,
        .digest = small_digest(g_rand_int_range(random, 0, 3)),
        .target = g_rand_boolean(random) ? "here" : "there",
        .time = g_rand_int_range(random, 0, 4),
        .xattrs = random_xattrs(random),
    };
    bool relative = g_rand_int_range(random, 0, 3) != 0;
    if (strcmp(path + relative, "d") == 0) /* parents of others in these paths */
        value.kind = TRACE_DIRECTORY;
    trace_memory_state_put(state, path + relative, &value);
}

struct asked {
    char *path;
    unsigned aspects;
};

static inline GArray *ask_at_random(GRand *random)
{
    GArray *asked = g_array_new(FALSE, FALSE, sizeof(struct asked));
    for (int i = g_rand_int_range(random, 1, 25); i > 0; i--) {
        g_autofree char *path = random_path(random, "");
        struct asked one = { g_strdup(path + g_rand_int_range(random, 0, 2)),
                             (unsigned)g_rand_int_range(random, 0, 1 << TRACE_ASPECTS) };
        g_array_append_val(asked, one);
    }
    return asked;
}

static inline void free_asked(GArray *asked)
{
    for (guint i = 0; i < asked->len; i++)
        g_free(g_array_index(asked, struct asked, i).path);
    g_array_unref(asked);
}

static inline struct trace *record_from(struct trace_state *state, const GArray *asked)
{
    g_autoptr(recorder) recorder = recorder_new("/w");
    for (guint i = 0; i < asked->len; i++) {
        const struct asked *one = &g_array_index(asked, struct asked, i);
        note_from(recorder, state, one->path, one->aspects);
    }
    return sealed(recorder);
}

static inline void assert_same_value(const struct trace_value *a, const struct trace_value *b)
{
    g_assert_cmpuint(a->kind, ==, b->kind);
    g_assert_true(a->unreadable == b->unreadable);
    g_assert_cmpuint(a->mode, ==, b->mode);
    g_assert_cmpstr(a->target, ==, b->target);
    g_assert_cmpint(a->time, ==, b->time);
    g_assert_cmpstr(a->xattrs, ==, b->xattrs);
    g_assert_true(digest_equal(&a->digest, &b->digest));
}

static inline void assert_refusal(const struct trace *trace, const char *expected)
{
    g_autofree char *refusal = trace_refusal(trace);
    g_assert_cmpstr(refusal, ==, expected);
}

#endif
