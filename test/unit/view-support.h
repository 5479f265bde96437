// SPDX-License-Identifier: Apache-2.0
/*
 * For the tests of view/: a host directory, a scratch directory and a view over them, asked by
 * messages as the kernel would send them. No mount, so they run anywhere.
 */
#ifndef TEST_VIEW_SUPPORT_H
#define TEST_VIEW_SUPPORT_H

#include "base/fd.h"
#include "view/view-internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct scene {
    char *path; /* host/ and scratch/ are in it */
    int host, scratch;
    struct recorder *recorder;
    struct view *view;
    guint32 uid, gid; /* who asks; pid 0, so that nobody looks for a process */
};

struct asker { /* one thread's way to the view */
    struct scene *scene;
    struct request request;
    guint8 *message;
};

/* --- the host --------------------------------------------------------------------------------- */

static inline void host_write(const struct scene *scene, const char *path, const char *text)
{
    int file = openat(scene->host, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    g_assert_cmpint(file, >=, 0);
    g_assert_cmpint(write(file, text, strlen(text)), ==, (ssize_t)strlen(text));
    close(file);
}

static inline void host_mkdir(const struct scene *scene, const char *path)
{
    g_assert_cmpint(mkdirat(scene->host, path, 0755), ==, 0);
}

static inline char *read_text(int directory, const char *path)
{
    autofd int file = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return NULL;
    g_autoptr(GBytes) bytes = fd_read_all(file, 1 << 26, path, NULL);
    g_assert_nonnull(bytes);
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* --- life ------------------------------------------------------------------------------------- */

static inline struct view *scene_view(struct scene *scene)
{
    const struct view_options options = {
        .root = scene->host,
        .scratch = scene->scratch,
        .owner = getuid(),
        .group = getgid(),
        .recorder = scene->recorder,
        .processes = -1,
    };
    return view_new(&options);
}

/* Fill the host before the first question; what is asked for later is looked for then. */
static inline void scene_init(struct scene *scene)
{
    *scene = (struct scene){ .path = g_dir_make_tmp("vial-view-XXXXXX", NULL),
                             .uid = getuid(),
                             .gid = getgid() };
    g_assert_nonnull(scene->path);
    autofd int top = open(scene->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(mkdirat(top, "host", 0755) | mkdirat(top, "scratch", 0755), ==, 0);
    scene->host = openat(top, "host", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene->scratch = openat(top, "scratch", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene->recorder = recorder_new("/");
    scene->view = scene_view(scene);
}

static inline void scene_release(struct scene *scene)
{
    view_free(scene->view);
    recorder_free(scene->recorder);
    close(scene->host);
    close(scene->scratch);
    fd_remove_tree(AT_FDCWD, scene->path, NULL);
    g_free(scene->path);
}

static inline void asker_init(struct asker *asker, struct scene *scene)
{
    *asker = (struct asker){ .scene = scene, .message = g_malloc0(VIEW_BUFFER) };
    asker->request.view = scene->view;
    asker->request.out = g_malloc0(VIEW_BUFFER);
}

static inline void asker_release(struct asker *asker)
{
    g_free(asker->message);
    g_free(asker->request.out);
}

/* --- questions -------------------------------------------------------------------------------- */

struct question {
    guint32 opcode;
    guint64 node;
    const void *argument;
    size_t size;
    const char *name, *other;
    const void *data;
    size_t data_size;
};

static inline int ask(struct asker *asker, const struct question *question)
{
    static guint64 unique;
    guint8 *at = asker->message + sizeof(struct fuse_in_header);
    if (question->size > 0)
        memcpy(at, question->argument, question->size);
    at += question->size;
    const char *const names[] = { question->name, question->other };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i] != NULL)
            at = (guint8 *)g_stpcpy((char *)at, names[i]) + 1;
    if (question->data_size > 0)
        memcpy(at, question->data, question->data_size);
    at += question->data_size;
    const struct fuse_in_header header = {
        .len = (guint32)(at - asker->message),
        .opcode = question->opcode,
        .unique = __atomic_add_fetch(&unique, 2, __ATOMIC_RELAXED),
        .nodeid = question->node,
        .uid = asker->scene->uid,
        .gid = asker->scene->gid,
    };
    memcpy(asker->message, &header, sizeof header);
    return view_dispatch(&asker->request, asker->message, header.len);
}

static inline int ask_name(struct asker *asker, guint32 opcode, guint64 node, const char *name)
{
    const struct question question = { .opcode = opcode, .node = node, .name = name };
    return ask(asker, &question);
}

static inline int ask_argument(struct asker *asker, guint32 opcode, guint64 node,
                               const void *argument, size_t size)
{
    const struct question question = {
        .opcode = opcode, .node = node, .argument = argument, .size = size
    };
    return ask(asker, &question);
}

/* The node of an answer that is an entry; 0: the name is absent. */
static inline guint64 answered_node(const struct asker *asker)
{
    return ((const struct fuse_entry_out *)asker->request.out)->nodeid;
}

static inline guint64 lookup(struct asker *asker, guint64 node, const char *name)
{
    g_assert_cmpint(ask_name(asker, FUSE_LOOKUP, node, name), ==, 0);
    return answered_node(asker);
}

/* By a path of names; 0 as soon as one is absent. */
static inline guint64 walk(struct asker *asker, const char *path)
{
    guint64 node = FUSE_ROOT_ID;
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; node != 0 && *name != NULL; name++)
        node = lookup(asker, node, *name);
    return node;
}

static inline void forget(struct asker *asker, guint64 node, guint64 count)
{
    const struct fuse_forget_in in = { .nlookup = count };
    g_assert_cmpint(ask_argument(asker, FUSE_FORGET, node, &in, sizeof in), ==, VIEW_NO_REPLY);
}

static inline struct fuse_attr attributes(struct asker *asker, guint64 node)
{
    const struct fuse_getattr_in in = { 0 };
    g_assert_cmpint(ask_argument(asker, FUSE_GETATTR, node, &in, sizeof in), ==, 0);
    return ((const struct fuse_attr_out *)asker->request.out)->attr;
}

static inline int try_open(struct asker *asker, guint64 node, guint32 flags, guint64 *handle)
{
    const struct fuse_open_in in = { .flags = flags };
    guint32 opcode = (flags & O_DIRECTORY) != 0 ? FUSE_OPENDIR : FUSE_OPEN;
    int rc = ask_argument(asker, opcode, node, &in, sizeof in);
    if (rc == 0)
        *handle = ((const struct protocol_open_out *)asker->request.out)->fh;
    return rc;
}

static inline guint64 open_file(struct asker *asker, guint64 node, guint32 flags)
{
    guint64 handle = 0;
    g_assert_cmpint(try_open(asker, node, flags, &handle), ==, 0);
    return handle;
}

static inline void close_file(struct asker *asker, guint64 node, guint64 handle)
{
    const struct fuse_release_in in = { .fh = handle };
    g_assert_cmpint(ask_argument(asker, FUSE_RELEASE, node, &in, sizeof in), ==, 0);
}

static inline int write_at(struct asker *asker, guint64 node, guint64 handle, guint64 offset,
                           const char *text)
{
    const struct fuse_write_in in = { .fh = handle,
                                      .offset = offset,
                                      .size = (guint32)strlen(text) };
    const struct question question = { .opcode = FUSE_WRITE,
                                       .node = node,
                                       .argument = &in,
                                       .size = sizeof in,
                                       .data = text,
                                       .data_size = strlen(text) };
    return ask(asker, &question);
}

static inline char *read_handle(struct asker *asker, guint64 node, guint64 handle)
{
    const struct fuse_read_in in = { .fh = handle, .size = 1 << 16 };
    g_assert_cmpint(ask_argument(asker, FUSE_READ, node, &in, sizeof in), ==, 0);
    return g_strndup(asker->request.out, asker->request.out_size);
}

static inline char *content(struct asker *asker, guint64 node)
{
    guint64 handle = open_file(asker, node, O_RDONLY);
    char *text = read_handle(asker, node, handle);
    close_file(asker, node, handle);
    return text;
}

static inline void assert_content(struct asker *asker, const char *path, const char *expected)
{
    guint64 node = walk(asker, path);
    g_assert_cmpuint(node, !=, 0);
    g_autofree char *text = content(asker, node);
    g_assert_cmpstr(text, ==, expected);
}

/* A new open file; *node is its node. */
static inline guint64 create(struct asker *asker, guint64 directory, const char *name,
                             guint64 *node)
{
    const struct fuse_create_in in = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
    const struct question question = {
        .opcode = FUSE_CREATE, .node = directory, .argument = &in, .size = sizeof in, .name = name
    };
    g_assert_cmpint(ask(asker, &question), ==, 0);
    const struct {
        struct fuse_entry_out entry;
        struct protocol_open_out open;
    } *out = asker->request.out;
    *node = out->entry.nodeid;
    return out->open.fh;
}

static inline guint64 make_file(struct asker *asker, guint64 directory, const char *name,
                                const char *text)
{
    guint64 node, handle = create(asker, directory, name, &node);
    if (*text != '\0')
        g_assert_cmpint(write_at(asker, node, handle, 0, text), ==, 0);
    close_file(asker, node, handle);
    return node;
}

static inline void overwrite(struct asker *asker, guint64 node, const char *text)
{
    guint64 handle = open_file(asker, node, O_WRONLY | O_TRUNC);
    g_assert_cmpint(write_at(asker, node, handle, 0, text), ==, 0);
    close_file(asker, node, handle);
}

static inline int try_mkdir(struct asker *asker, guint64 directory, const char *name)
{
    const struct fuse_mkdir_in in = { .mode = 0755 };
    const struct question question = {
        .opcode = FUSE_MKDIR, .node = directory, .argument = &in, .size = sizeof in, .name = name
    };
    return ask(asker, &question);
}

static inline guint64 make_directory(struct asker *asker, guint64 directory, const char *name)
{
    g_assert_cmpint(try_mkdir(asker, directory, name), ==, 0);
    return answered_node(asker);
}

static inline int try_link(struct asker *asker, guint64 node, guint64 directory, const char *name)
{
    const struct fuse_link_in in = { .oldnodeid = node };
    const struct question question = {
        .opcode = FUSE_LINK, .node = directory, .argument = &in, .size = sizeof in, .name = name
    };
    return ask(asker, &question);
}

static inline int try_symlink(struct asker *asker, guint64 directory, const char *name,
                              const char *target)
{
    const struct question question = {
        .opcode = FUSE_SYMLINK, .node = directory, .name = name, .other = target
    };
    return ask(asker, &question);
}

static inline int try_mknod(struct asker *asker, guint64 directory, const char *name, guint32 mode)
{
    const struct fuse_mknod_in in = { .mode = mode };
    const struct question question = {
        .opcode = FUSE_MKNOD, .node = directory, .argument = &in, .size = sizeof in, .name = name
    };
    return ask(asker, &question);
}

static inline int unlink_name(struct asker *asker, guint64 directory, const char *name)
{
    return ask_name(asker, FUSE_UNLINK, directory, name);
}

static inline int rename_name(struct asker *asker, guint64 from, const char *name, guint64 to,
                              const char *other, guint32 flags)
{
    const struct fuse_rename2_in in = { .newdir = to, .flags = flags };
    const struct question question = { .opcode = FUSE_RENAME2,
                                       .node = from,
                                       .argument = &in,
                                       .size = sizeof in,
                                       .name = name,
                                       .other = other };
    return ask(asker, &question);
}

static inline int set_attributes_of(struct asker *asker, guint64 node, struct fuse_setattr_in in)
{
    return ask_argument(asker, FUSE_SETATTR, node, &in, sizeof in);
}

static inline int set_mode_of(struct asker *asker, guint64 node, guint32 mode)
{
    return set_attributes_of(asker, node,
                             (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = mode });
}

/* Names of a directory but "." and "..", each with a space behind it. */
static inline char *names_of(struct asker *asker, guint64 node)
{
    GString *names = g_string_new(NULL);
    guint64 handle = open_file(asker, node, O_DIRECTORY), offset = 0;
    for (;;) {
        const struct fuse_read_in in = { .fh = handle, .size = 4096, .offset = offset };
        g_assert_cmpint(ask_argument(asker, FUSE_READDIR, node, &in, sizeof in), ==, 0);
        if (asker->request.out_size == 0)
            break;
        const guint8 *at = asker->request.out, *end = at + asker->request.out_size;
        while (at < end) {
            const struct fuse_dirent *one = (const void *)at;
            offset = one->off;
            if (one->off > 2)
                g_string_append_printf(names, "%.*s ", (int)one->namelen, one->name);
            at += FUSE_DIRENT_SIZE(one);
        }
    }
    close_file(asker, node, handle);
    return g_string_free(names, FALSE);
}

static inline void assert_names(struct asker *asker, guint64 node, const char *expected)
{
    g_autofree char *names = names_of(asker, node);
    g_assert_cmpstr(names, ==, expected);
}

/* --- the record ------------------------------------------------------------------------------- */

static inline void hash_host(struct seal_item *items, size_t count, void *user)
{
    const struct scene *scene = user;
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        struct trace_stamp stamp;
        g_autofree char *text = read_text(scene->host, items[i].path + 1);
        if (text == NULL || fstatat(scene->host, items[i].path + 1, &status, 0) < 0)
            continue;
        trace_stamp_of(&status, &stamp);
        digest_of(text, strlen(text), &items[i].digest);
        if (trace_stamp_equal(&stamp, &items[i].stamp))
            items[i].outcome = SEAL_HASHED;
    }
}

/* What is on record: one "path aspect+aspect" a line, by path. Once for each scene. */
static inline char *facts_of(struct scene *scene)
{
    GString *text = g_string_new(NULL);
    g_autoptr(trace) trace = recorder_seal(scene->recorder, hash_host, scene);
    for (size_t i = 0; i < trace_fact_count(trace); i++) {
        const struct trace_fact *fact = trace_fact(trace, i);
        g_string_append(text, *fact->path == '\0' ? "." : fact->path);
        for (unsigned bit = 0; bit < TRACE_ASPECTS; bit++)
            if ((fact->aspects & 1u << bit) != 0)
                g_string_append_printf(text, " %s", trace_aspect_name(1u << bit));
        g_string_append(text, fact->unstable ? " unstable\n" : "\n");
    }
    return g_string_free(text, FALSE);
}

static inline void assert_facts(struct scene *scene, const char *expected)
{
    g_autofree char *facts = facts_of(scene);
    g_assert_cmpstr(facts, ==, expected);
}

#endif
