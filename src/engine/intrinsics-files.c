// SPDX-License-Identifier: Apache-2.0
/* Intrinsics on files and trees. */
#include "base/fault.h"
#include "base/path.h"
#include "engine/intrinsics-internal.h"

#include <string.h>

/* --- the workspace ---------------------------------------------------------------------------- */

struct names {
    GPtrArray *files, *directories; /* char * */
};

static bool note_name(const char *path, const struct tree_entry *entry, void *user)
{
    struct names *names = user;
    g_ptr_array_add(entry->kind == TREE_DIRECTORY ? names->directories : names->files,
                    g_strdup(path));
    return true;
}

static struct value *make_snapshot(struct intrinsic_task *task, const struct tree *tree)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) directories = g_ptr_array_new_with_free_func(g_free);
    struct names names = { files, directories };
    tree_walk(tree, note_name, &names);
    struct value *fields[] = { make_digest(task->intrinsics, tree_digest(tree)), make_texts(files),
                               make_texts(directories) };
    return make_record(task->intrinsics, "Snapshot", fields);
}

struct value *do_path_globs(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_auto(GStrv) patterns = take_texts(param, "globs", error);
    if (patterns == NULL)
        return NULL;
    for (char **pattern = patterns; *pattern != NULL; pattern++)
        if (strchr(*pattern, '\n') != NULL) {
            usage(error, param, "globs", "patterns without newlines");
            return NULL;
        }
    if (*patterns == NULL) {
        usage(error, param, "globs", "a list of at least one pattern");
        return NULL;
    }
    g_autofree char *subject = g_strjoinv("\n", patterns);
    g_autoptr(store_batch) batch = store_batch_new(task->intrinsics->store);
    g_autoptr(tree) tree = host_world_select(task->intrinsics->world, subject, batch, error);
    if (tree == NULL || !store_batch_put_tree(batch, tree, error) ||
        !store_batch_commit(batch, error))
        return NULL;
    const struct fact fact = { FACT_GLOBS, subject };
    const struct fact_answer answer = { WORLD_THERE, *tree_digest(tree) };
    engine_fact(task->call, &fact, &answer);
    note_stored(task, FACT_TREE, tree_digest(tree));
    return make_snapshot(task, tree);
}

/* --- trees ------------------------------------------------------------------------------------ */

static bool add_file(const struct value *file, struct store_batch *batch,
                     struct tree_builder *builder, GError **error)
{
    struct tree_entry entry = { .kind = TREE_FILE };
    if (file == NULL || g_strcmp0(value_record_name(file), "FileContent") != 0)
        return fault_set(error, FAULT_USAGE, "CreateDigest: files must be a list of FileContent");
    const char *path = take_text(file, "path", error);
    const struct value *content = value_field(file, "content");
    gsize size;
    const char *data = content == NULL ? NULL : value_bytes(content, &size);
    if (path == NULL)
        return false;
    if (data == NULL)
        return usage(error, file, "content", "a string");
    entry.executable = value_truth(value_field(file, "executable"));
    return store_batch_put(batch, data, size, &entry.digest, error) &&
           tree_builder_add(builder, path, &entry, error);
}

struct value *do_create_digest(struct intrinsic_task *task, struct value *param, GError **error)
{
    const struct value *files = value_field(param, "files");
    g_autoptr(store_batch) batch = store_batch_new(task->intrinsics->store);
    g_autoptr(tree_builder) builder = tree_builder_new();
    if (files == NULL || value_kind(files) != VALUE_LIST) {
        usage(error, param, "files", "a list of FileContent");
        return NULL;
    }
    for (gsize i = 0; i < value_count(files); i++)
        if (!add_file(value_at(files, i), batch, builder, error))
            return NULL;
    g_autoptr(tree) tree = tree_builder_finish(g_steal_pointer(&builder));
    if (!store_batch_commit(batch, error))
        return NULL;
    return give_tree(task, tree, error);
}

struct value *do_merge_digests(struct intrinsic_task *task, struct value *param, GError **error)
{
    const struct value *digests = value_field(param, "digests");
    g_autoptr(GPtrArray) trees = g_ptr_array_new_with_free_func((GDestroyNotify)tree_unref);
    if (digests == NULL || value_kind(digests) != VALUE_LIST) {
        usage(error, param, "digests", "a list of Digest");
        return NULL;
    }
    for (gsize i = 0; i < value_count(digests); i++) {
        struct tree *tree = take_tree(task, value_at(digests, i), error);
        if (tree == NULL)
            return NULL;
        g_ptr_array_add(trees, tree);
    }
    g_autoptr(tree) merged = tree_merge((struct tree *const *)trees->pdata, trees->len, error);
    return merged == NULL ? NULL : give_tree(task, merged, error);
}

struct value *do_digest_subset(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_autoptr(tree) tree = take_tree(task, value_field(param, "digest"), error);
    g_autoptr(glob) glob = tree == NULL ? NULL : take_globs(param, "globs", error);
    if (glob == NULL)
        return NULL;
    g_autoptr(tree) subset = tree_subset(tree, glob);
    return give_tree(task, subset, error);
}

struct value *do_add_prefix(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_autoptr(tree) tree = take_tree(task, value_field(param, "digest"), error);
    const char *prefix = tree == NULL ? NULL : take_text(param, "prefix", error);
    g_autoptr(tree) made = prefix == NULL ? NULL : tree_add_prefix(tree, prefix, error);
    return made == NULL ? NULL : give_tree(task, made, error);
}

struct value *do_remove_prefix(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_autoptr(tree) tree = take_tree(task, value_field(param, "digest"), error);
    const char *prefix = tree == NULL ? NULL : take_text(param, "prefix", error);
    g_autoptr(tree) made = prefix == NULL ? NULL : tree_remove_prefix(tree, prefix, error);
    return made == NULL ? NULL : give_tree(task, made, error);
}

struct contents {
    struct intrinsic_task *task;
    GPtrArray *files; /* struct value * */
    GError *error;
};

/* Links and directories have no content. */
static bool note_content(const char *path, const struct tree_entry *entry, void *user)
{
    struct contents *contents = user;
    if (entry->kind != TREE_FILE)
        return true;
    g_autoptr(GBytes) bytes =
        store_get(contents->task->intrinsics->store, &entry->digest, &contents->error);
    if (bytes == NULL)
        return false;
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    struct value *fields[] = { value_text(path), value_string(data, size),
                               value_boolean(entry->executable) };
    g_ptr_array_add(contents->files,
                    make_record(contents->task->intrinsics, "FileContent", fields));
    return true;
}

struct value *do_digest_contents(struct intrinsic_task *task, struct value *param, GError **error)
{
    g_autoptr(tree) tree = take_tree(task, param, error);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    struct contents contents = { task, files, NULL };
    if (tree == NULL)
        return NULL;
    if (!tree_walk(tree, note_content, &contents)) {
        g_propagate_error(error, contents.error);
        return NULL;
    }
    struct value *field = make_list(files);
    return make_record(task->intrinsics, "DigestContents", &field);
}
