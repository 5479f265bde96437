// SPDX-License-Identifier: Apache-2.0
/* vial store: files and trees in and out of the store, and operations on trees. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "cli/cli.h"
#include "store/capture.h"
#include "store/materialize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- what all share --------------------------------------------------------------------------- */

static int print_digest(const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    puts(digest_print(digest, text));
    return EXIT_OK;
}

static struct tree *load_tree(struct store *store, const char *text, GError **error)
{
    struct digest digest;
    return digest_parse(text, &digest, error) ? store_get_tree(store, &digest, error) : NULL;
}

/* What the user put or made stays until gc finds that it is used the least. */
static void put_root(struct store_batch *batch, const struct digest *digest)
{
    guint8 key[40];
    guint64 size = GUINT64_TO_BE((guint64)digest->size);
    guint64 time = GUINT64_TO_BE((guint64)g_get_real_time());
    memcpy(key, digest->hash, DIGEST_HASH_SIZE);
    memcpy(key + DIGEST_HASH_SIZE, &size, sizeof size);
    g_autoptr(GBytes) value = g_bytes_new(&time, sizeof time);
    store_batch_put_record(batch, STORE_ROOTS, key, sizeof key, value);
}

static int keep_tree(struct store *store, const struct tree *tree, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    put_root(batch, tree_digest(tree));
    if (!store_batch_put_tree(batch, tree, error) || !store_batch_commit(batch, error))
        return EXIT_FAILED;
    return print_digest(tree_digest(tree));
}

/* --- put -------------------------------------------------------------------------------------- */

#define PUT_ATTEMPTS 10

struct putting {
    struct store *store;
    struct store_batch *batch;
    struct stat_cache *stats;
};

static struct tree *put_directory(struct putting *putting, const char *path, GError **error)
{
    autofd int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        fault_errno(error, errno, "cannot open %s", path);
        return NULL;
    }
    struct capture_request request = {
        .directory = directory,
        .name = path,
        .cache = putting->stats,
        .batch = putting->batch,
        .cancel = &interrupt,
    };
    struct capture capture = { 0 };
    if (!store_capture(putting->store, &request, &capture, error))
        return NULL;
    struct tree *tree = g_steal_pointer(&capture.tree);
    capture_clear(&capture);
    return tree;
}

/* `path` as an entry: what a directory, file or link becomes in the tree of several paths. */
static bool put_path(struct putting *putting, const char *path, struct tree_entry *out,
                     GError **error)
{
    struct stat status;
    *out = (struct tree_entry){ 0 };
    if (lstat(path, &status) < 0)
        return fault_errno(error, errno, "cannot put %s", path);
    if (S_ISDIR(status.st_mode)) {
        out->kind = TREE_DIRECTORY;
        out->directory = put_directory(putting, path, error);
        return out->directory != NULL;
    }
    if (S_ISLNK(status.st_mode)) {
        out->kind = TREE_SYMLINK;
        out->target = g_file_read_link(path, error);
        return out->target != NULL;
    }
    if (!S_ISREG(status.st_mode))
        return fault_set(error, FAULT_UNSUPPORTED,
                         "cannot put %s: neither file, directory nor link", path);
    out->executable = (status.st_mode & S_IXUSR) != 0;
    autofd int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return fault_errno(error, errno, "cannot put %s", path);
    return store_batch_put_file(putting->batch, file, status.st_size, path, &interrupt,
                                &out->digest, error);
}

static void entry_clear(struct tree_entry *entry)
{
    g_clear_pointer(&entry->directory, tree_unref);
    g_free((char *)entry->target);
}

/* Several paths become one tree: relative ones keep their place, others their last component. */
static struct tree *put_paths(struct putting *putting, int count, char **paths, GError **error)
{
    g_autoptr(tree_builder) builder = tree_builder_new();
    for (int i = 0; i < count; i++) {
        struct tree_entry entry;
        g_autofree char *place = path_below("/", "/", paths[i]);
        if (*paths[i] == '/' || g_str_has_prefix(paths[i], "..")) {
            g_free(place);
            place = g_path_get_basename(paths[i]);
        }
        bool ok = put_path(putting, paths[i], &entry, error);
        ok = ok && tree_builder_add(builder, place, &entry, error);
        entry_clear(&entry);
        if (!ok)
            return NULL;
    }
    return tree_builder_finish(g_steal_pointer(&builder));
}

static bool put_all(struct putting *putting, int count, char **paths, struct digest *out,
                    GError **error)
{
    if (count == 1) {
        struct stat status;
        struct tree_entry entry;
        if (stat(paths[0], &status) < 0)
            return fault_errno(error, errno, "cannot put %s", paths[0]);
        bool is_directory = S_ISDIR(status.st_mode);
        g_autofree char *real = realpath(paths[0], NULL); /* the one path named may be a link */
        bool ok = put_path(putting, real == NULL ? paths[0] : real, &entry, error);
        if (ok)
            *out = is_directory ? *tree_digest(entry.directory) : entry.digest;
        entry_clear(&entry);
        return ok;
    }
    g_autoptr(tree) tree = put_paths(putting, count, paths, error);
    if (tree == NULL)
        return false;
    *out = *tree_digest(tree);
    return store_batch_put_tree(putting->batch, tree, error);
}

static bool put_once(struct store *store, int argc, char **argv, struct digest *out, GError **error)
{
    g_autoptr(store_batch) batch = store_batch_new(store);
    g_autoptr(stat_cache) stats = stat_cache_new(store);
    struct putting putting = { store, batch, stats };
    if (!put_all(&putting, argc, argv, out, error))
        return false;
    put_root(batch, out);
    stat_cache_flush(stats, batch);
    return store_batch_commit(batch, error);
}

/* A collection elsewhere may take what was there when it was looked up. */
static int store_put(struct store *store, int argc, char **argv, GError **error)
{
    struct digest digest;
    interrupt_catch();
    for (int attempt = 1;; attempt++) {
        g_autoptr(GError) local = NULL;
        if (put_once(store, argc, argv, &digest, &local))
            return print_digest(&digest);
        if (g_error_matches(local, FAULT, FAULT_MISSING) && attempt < PUT_ATTEMPTS)
            continue;
        g_propagate_error(error, g_steal_pointer(&local));
        return EXIT_FAILED;
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

static int store_cat(struct store *store, int argc, char **argv, GError **error)
{
    struct digest digest;
    g_autoptr(GBytes) bytes =
        digest_parse(argv[0], &digest, error) ? store_get(store, &digest, error) : NULL;
    if (bytes == NULL)
        return EXIT_FAILED;
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    fwrite(data, 1, size, stdout);
    return EXIT_OK;
}

static bool print_entry(const char *path, const struct tree_entry *entry, void *user)
{
    char text[DIGEST_TEXT_SIZE];
    g_autofree char *name = path_quote(path);
    if (entry->kind == TREE_SYMLINK) {
        g_autofree char *target = path_quote(entry->target);
        printf("link       %s -> %s\n", name, target);
        return true;
    }
    const char *kind = entry->kind == TREE_DIRECTORY ? "directory"
                       : entry->executable           ? "executable"
                                                     : "file";
    printf("%-10s %s  %s\n", kind, digest_print(&entry->digest, text), name);
    return true;
}

static gboolean list_recursively;

static int store_list(struct store *store, int argc, char **argv, GError **error)
{
    g_autoptr(tree) tree = load_tree(store, argv[0], error);
    if (tree == NULL)
        return EXIT_FAILED;
    if (list_recursively)
        tree_walk(tree, print_entry, NULL);
    for (size_t i = 0; !list_recursively && i < tree_size(tree); i++)
        print_entry(tree_at(tree, i)->name, tree_at(tree, i), NULL);
    return EXIT_OK;
}

static bool print_difference(const char *path, const struct tree_entry *before,
                             const struct tree_entry *after, void *user)
{
    bool *differs = user;
    g_autofree char *name = path_quote(path);
    g_autofree char *old = before == NULL ? NULL : tree_entry_describe(before);
    g_autofree char *new = after == NULL ? NULL : tree_entry_describe(after);
    *differs = true;
    if (before == NULL)
        printf("added   %s  %s\n", name, new);
    else if (after == NULL)
        printf("removed %s  %s\n", name, old);
    else
        printf("changed %s  %s -> %s\n", name, old, new);
    return true;
}

static int store_diff(struct store *store, int argc, char **argv, GError **error)
{
    bool differs = false;
    g_autoptr(tree) before = load_tree(store, argv[0], error);
    g_autoptr(tree) after = before == NULL ? NULL : load_tree(store, argv[1], error);
    if (after == NULL)
        return EXIT_FAILED;
    tree_diff(before, after, print_difference, &differs);
    return differs ? EXIT_NO : EXIT_OK;
}

/* --- get -------------------------------------------------------------------------------------- */

static gboolean get_force;

static bool get_file(struct store *store, const struct digest *digest, const char *path,
                     GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path), *name = g_path_get_basename(path);
    if (!get_force && access(path, F_OK) == 0)
        return fault_set(error, FAULT_CONFLICT, "%s exists; --force replaces it", path);
    autofd int directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fault_errno(error, errno, "cannot open %s", parent);
    return store_write_file(store, digest, directory, name, 0666, -1, error);
}

static bool get_tree(struct store *store, const struct tree *tree, const char *path, GError **error)
{
    if (!fd_make_directories(path, 0777, error))
        return false;
    autofd int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fault_errno(error, errno, "cannot open %s", path);
    struct materialize_request request = {
        .store = store,
        .tree = tree,
        .directory = directory,
        .name = path,
        .overwrite = get_force,
        .mtime = -1,
        .owner = (uid_t)-1,
        .group = (gid_t)-1,
        .cancel = &interrupt,
    };
    return store_materialize(&request, error);
}

/* A digest does not tell a file from a tree; what decodes as a directory message is taken for one.
 */
static int store_get_command(struct store *store, int argc, char **argv, GError **error)
{
    struct digest digest;
    struct stat status;
    g_autoptr(GError) not_tree = NULL;
    if (!digest_parse(argv[0], &digest, error))
        return EXIT_FAILED;
    interrupt_catch();
    g_autoptr(tree) tree = store_get_tree(store, &digest, &not_tree);
    bool occupied = lstat(argv[1], &status) == 0 && !S_ISDIR(status.st_mode);
    if (tree != NULL && occupied)
        fault_set(error, FAULT_CONFLICT, "%s exists and is not a directory", argv[1]);
    else if (tree != NULL ? get_tree(store, tree, argv[1], error)
                          : get_file(store, &digest, argv[1], error))
        return EXIT_OK;
    return EXIT_FAILED;
}

/* --- trees from trees ------------------------------------------------------------------------- */

static int store_merge(struct store *store, int argc, char **argv, GError **error)
{
    g_autoptr(GPtrArray) trees = g_ptr_array_new_with_free_func((GDestroyNotify)tree_unref);
    for (int i = 0; i < argc; i++) {
        struct tree *tree = load_tree(store, argv[i], error);
        if (tree == NULL)
            return EXIT_FAILED;
        g_ptr_array_add(trees, tree);
    }
    g_autoptr(tree) merged = tree_merge((struct tree *const *)trees->pdata, trees->len, error);
    return merged == NULL ? EXIT_FAILED : keep_tree(store, merged, error);
}

static int store_subset(struct store *store, int argc, char **argv, GError **error)
{
    g_autoptr(tree) tree = load_tree(store, argv[0], error);
    g_autoptr(glob) select = glob_new();
    for (int i = 1; tree != NULL && i < argc; i++)
        if (!glob_add(select, "", argv[i], error))
            return EXIT_FAILED;
    g_autoptr(tree) made = tree == NULL ? NULL : tree_subset(tree, select);
    return made == NULL ? EXIT_FAILED : keep_tree(store, made, error);
}

static int store_add_prefix(struct store *store, int argc, char **argv, GError **error)
{
    g_autoptr(tree) tree = load_tree(store, argv[0], error);
    g_autoptr(tree) made = tree == NULL ? NULL : tree_add_prefix(tree, argv[1], error);
    return made == NULL ? EXIT_FAILED : keep_tree(store, made, error);
}

static int store_remove_prefix(struct store *store, int argc, char **argv, GError **error)
{
    g_autoptr(tree) tree = load_tree(store, argv[0], error);
    g_autoptr(tree) made = tree == NULL ? NULL : tree_remove_prefix(tree, argv[1], error);
    return made == NULL ? EXIT_FAILED : keep_tree(store, made, error);
}

/* --- upkeep ----------------------------------------------------------------------------------- */

static gboolean verify_repair;

static void print_damage(const char *what, void *user)
{
    printf("damaged: %s\n", what);
}

static int store_verify_command(struct store *store, int argc, char **argv, GError **error)
{
    struct store_verify_result result;
    if (!store_verify(store, verify_repair, print_damage, NULL, &result, error))
        return EXIT_FAILED;
    g_autofree char *size = g_format_size_full(result.bytes, G_FORMAT_SIZE_IEC_UNITS);
    printf("%" G_GUINT64_FORMAT " blobs (%s) and %" G_GUINT64_FORMAT
           " records checked: %" G_GUINT64_FORMAT " damaged, %" G_GUINT64_FORMAT " removed\n",
           result.blobs, size, result.records, result.damaged, result.removed);
    return result.damaged > result.removed ? EXIT_NO : EXIT_OK;
}

/* --- the table -------------------------------------------------------------------------------- */

static const GOptionEntry list_entries[] = {
    { "recursive", 'r', 0, G_OPTION_ARG_NONE, &list_recursively, "Everything below, too", NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
};
static const GOptionEntry get_entries[] = {
    { "force", 0, 0, G_OPTION_ARG_NONE, &get_force, "Replace files that are in the way", NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
};
static const GOptionEntry verify_entries[] = {
    { "repair", 0, 0, G_OPTION_ARG_NONE, &verify_repair, "Remove what is damaged", NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
};

static const struct subcommand {
    struct usage usage;
    int (*run)(struct store *store, int argc, char **argv, GError **error);
    bool read_only;
} subcommands[] = {
    { { "store put", "PATH…", "Store files and directories; print one digest.", NULL, 1, -1 },
      store_put,
      false },
    { { "store cat", "DIGEST", "Write a file to standard output.", NULL, 1, 1 }, store_cat, true },
    { { "store ls", "DIGEST", "List a tree.", list_entries, 1, 1 }, store_list, true },
    { { "store get", "DIGEST DEST", "Write a file or tree to DEST.", get_entries, 2, 2 },
      store_get_command,
      true },
    { { "store merge", "DIGEST…", "The union of trees.", NULL, 1, -1 }, store_merge, false },
    { { "store subset", "DIGEST GLOB…", "What the patterns select of a tree.", NULL, 2, -1 },
      store_subset,
      false },
    { { "store add-prefix", "DIGEST PREFIX", "The tree moved below PREFIX.", NULL, 2, 2 },
      store_add_prefix,
      false },
    { { "store remove-prefix", "DIGEST PREFIX", "What lies below PREFIX.", NULL, 2, 2 },
      store_remove_prefix,
      false },
    { { "store diff", "DIGEST DIGEST", "Where two trees differ; exit 1 if anywhere.", NULL, 2, 2 },
      store_diff,
      true },
    { { "store verify", "", "Hash everything again; exit 1 if anything is damaged.", verify_entries,
        0, 0 },
      store_verify_command,
      false },
};

static int run_subcommand(const struct subcommand *command, int argc, char **argv)
{
    enum parsed parsed = options_parse(&command->usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    int status = EXIT_FAILED;
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = open_store(command->read_only, &status);
    if (store == NULL)
        return status;
    status = command->run(store, argc, argv, &error);
    if (error != NULL)
        return interrupt != 0 ? 128 + interrupt : fail(error);
    return finish_output(status);
}

static int print_subcommands(FILE *stream, int status)
{
    fputs("Usage: vial store SUBCOMMAND [OPTION…] [ARGUMENT…]\n\n", stream);
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++)
        fprintf(stream, "  %-14s %-14s %s\n", subcommands[i].usage.name + strlen("store "),
                subcommands[i].usage.arguments, subcommands[i].usage.summary);
    fputs("  gc             --max-size SIZE  the same as `vial gc`\n"
          "  stats                           the same as `vial stats`\n",
          stream);
    return status;
}

int command_store(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];
    if (strcmp(name, "gc") == 0)
        return command_gc(argc - 1, argv + 1);
    if (strcmp(name, "stats") == 0)
        return command_stats(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return finish_output(print_subcommands(stdout, EXIT_OK));
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++)
        if (strcmp(name, subcommands[i].usage.name + strlen("store ")) == 0)
            return run_subcommand(&subcommands[i], argc - 1, argv + 1);
    if (argc >= 2)
        fprintf(stderr, "vial store: there is no subcommand %s\n", name);
    return print_subcommands(stderr, EXIT_USAGE);
}
