// SPDX-License-Identifier: Apache-2.0
/* Programs from seeds: which operations, how often, with what arguments. */
#include "generate.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/*
 * A row names an operation and says by a letter each what its arguments should be:
 *
 *   slots    n to be filled   s any open   f of a file   D of a directory   u a map
 *   paths    e of something   F of a file  d of a directory   l of a link   N of something new
 *            r any of these
 *   numbers  o offset   q offset or -1   z length   Z size of a file   v value   k few   K many
 *            m mode     a second, long ago
 *   flags    O open     C open and create     T O_TMPFILE     P O_PATH     w at most one of the
 * table's b any of the table's             R rename        M of a map texts    t attribute     y
 * target of a link
 */
struct row {
    const char *name;
    unsigned weight;
    const char *arguments;
};

static const struct row host_rows[] = {
    { "create", 30, "NZvm" }, { "mkdir", 20, "Nm" }, { "symlink", 10, "yN" },
    { "link", 8, "FNw" },     { "chmod", 5, "em" },  { "setxattr", 6, "etkvw" },
    { "truncate", 4, "FZ" },  { "mknod", 4, "Nwm" }, { "fill", 1, "dK" },
    { "script", 2, "N" },
};

/* An empty tree teaches little. */
static const struct row first_rows[] = {
    { "create", 20, "NZvm" }, { "mkdir", 20, "Nm" },  { "open", 20, "nNCm" },
    { "open", 20, "nFOm" },   { "open", 10, "ndDm" },
};

static const struct row rows[] = {
    { "open", 55, "nFOm" },      { "open", 40, "nNCm" },      { "open", 14, "nrOm" },
    { "open", 16, "ndDm" },      { "open", 8, "ndTm" },       { "open", 8, "nrPm" },
    { "reopen", 8, "nsO" },      { "close", 25, "s" },        { "dup", 7, "ns" },
    { "read", 16, "fz" },        { "pread", 16, "foz" },      { "readv", 6, "fqz" },
    { "write", 25, "fzv" },      { "pwrite", 25, "fozv" },    { "writev", 6, "fqzv" },
    { "lseek", 10, "sow" },      { "holes", 5, "f" },         { "ftruncate", 14, "fZ" },
    { "truncate", 12, "FZ" },    { "fallocate", 12, "fboz" }, { "copy", 12, "fqfqz" },
    { "sendfile", 6, "fqfz" },   { "fsync", 2, "sw" },        { "setfl", 4, "sw" },
    { "create", 25, "NZvm" },    { "create", 12, "FZvm" },    { "cat", 30, "F" },
    { "cat", 5, "r" },           { "mkdir", 30, "Nm" },       { "unlink", 30, "Fw" },
    { "unlink", 14, "dw" },      { "unlink", 8, "rw" },       { "symlink", 20, "yN" },
    { "readlink", 10, "l" },     { "readlink", 2, "r" },      { "link", 18, "FNw" },
    { "link", 6, "rrw" },        { "linkfd", 12, "sN" },      { "rename", 25, "FNR" },
    { "rename", 20, "dNR" },     { "rename", 14, "eeR" },     { "mknod", 10, "Nwm" },
    { "bind", 4, "nN" },         { "connect", 4, "e" },       { "stat", 30, "ew" },
    { "stat", 8, "rb" },         { "fstat", 20, "s" },        { "same", 5, "ee" },
    { "access", 12, "eb" },      { "chmod", 16, "em" },       { "fchmod", 7, "sm" },
    { "chown", 8, "ew" },        { "utimes", 10, "eaaw" },    { "futimes", 6, "saa" },
    { "statfs", 2, "e" },        { "order", 1, "FF" },        { "setxattr", 12, "etkvw" },
    { "fsetxattr", 8, "stkvw" }, { "getxattr", 10, "etk" },   { "fgetxattr", 6, "stk" },
    { "listxattr", 10, "e" },    { "removexattr", 6, "et" },  { "flock", 12, "sw" },
    { "lock", 14, "fwoz" },      { "oflock", 10, "fwoz" },    { "getlock", 8, "fwoz" },
    { "lockwait", 1, "F" },      { "lockalarm", 1, "F" },     { "mmap", 22, "ufMpk" },
    { "munmap", 5, "u" },        { "load", 16, "uoz" },       { "store", 18, "uozv" },
    { "msync", 6, "uw" },        { "list", 25, "d" },         { "list", 3, "r" },
    { "relist", 8, "D" },        { "fill", 2, "dK" },         { "drain", 4, "dk" },
    { "shift", 4, "d" },         { "rewind", 4, "d" },        { "inodes", 4, "d" },
    { "chdir", 12, "d" },        { "fchdir", 6, "D" },        { "getcwd", 8, "" },
    { "umask", 3, "m" },         { "forkwrite", 3, "fzv" },   { "exec", 1, "fz" },
    { "execute", 1, "F" },       { "script", 2, "N" },        { "deep", 1, "dk" },
};

/*
 * Of these each process may do any in its own directory, whatever the others do in theirs. None
 * takes a descriptor: an older one may be of a file that somebody else uses.
 */
static const struct row parallel_rows[] = {
    { "create", 30, "NZvm" }, { "create", 10, "FZvm" },   { "mkdir", 20, "Nm" },
    { "unlink", 15, "Fw" },   { "unlink", 8, "dw" },      { "rename", 15, "FNR" },
    { "rename", 8, "dNR" },   { "link", 10, "FN0" },      { "cat", 20, "F" },
    { "stat", 15, "ew" },     { "list", 12, "d" },        { "truncate", 8, "FZ" },
    { "chmod", 5, "em" },     { "fill", 2, "dK" },        { "drain", 2, "dk" },
    { "symlink", 6, "yN" },   { "shift", 3, "d" },        { "rewind", 3, "d" },
    { "getxattr", 4, "etk" }, { "setxattr", 6, "etkvw" }, { "readlink", 5, "l" },
};

/* --- arguments ---------------------------------------------------------------------------------
 */

static gint64 make_offset(struct random *random)
{
    static const gint64 edges[] = { 0, 1, 4095, 4096, 4097, 8192, 65536, 131072 };
    guint64 way = random_below(random, 100);
    if (way < 30)
        return 0;
    if (way < 50)
        return edges[random_below(random, G_N_ELEMENTS(edges))];
    return (gint64)random_below(random, way < 85 ? 9000 : way < 98 ? 80000 : 400000);
}

static gint64 make_length(struct random *random)
{
    static const gint64 edges[] = { 0, 1, 4095, 4096, 8192, 65536 };
    guint64 way = random_below(random, 100);
    if (way < 20)
        return edges[random_below(random, G_N_ELEMENTS(edges))];
    return (gint64)random_below(random, way < 60   ? 200
                                        : way < 92 ? 9000
                                        : way < 99 ? 40000
                                                   : 300000);
}

static gint64 make_mode(struct random *random)
{
    static const gint64 usual[] = { 0644, 0755, 0600, 0700, 0666, 0777 };
    guint64 way = random_below(random, 100);
    if (way < 75)
        return usual[random_below(random, G_N_ELEMENTS(usual))];
    return (gint64)random_below(random, way < 85 ? 010000 : 01000);
}

static gint64 make_open(struct random *random, char letter)
{
    static const int ways[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };
    static const int extras[] = { O_TRUNC, O_APPEND,    O_CREAT,   O_CREAT | O_EXCL, O_NOFOLLOW,
                                  O_SYNC,  O_DIRECTORY, O_NOATIME, O_APPEND,         O_TRUNC };
    int flags = ways[random_below(random, G_N_ELEMENTS(ways))];
    if (letter == 'D')
        return O_RDONLY | (random_percent(random, 80) ? O_DIRECTORY : 0);
    if (letter == 'P')
        return O_PATH | (random_percent(random, 40) ? O_NOFOLLOW : 0) |
               (random_percent(random, 20) ? O_DIRECTORY : 0);
    if (letter == 'T')
        return O_TMPFILE | (random_percent(random, 90) ? O_RDWR : flags) |
               (random_percent(random, 15) ? O_EXCL : 0);
    if (letter == 'C')
        flags |= O_CREAT | (random_percent(random, 25) ? O_EXCL : 0);
    while (random_percent(random, 30))
        flags |= extras[random_below(random, G_N_ELEMENTS(extras))];
    return flags;
}

/* One of the table's values, or any union of them. */
static gint64 make_flags(struct random *random, const struct flag *flags, bool any)
{
    guint count = 0;
    gint64 value = 0;
    while (flags[count].name != NULL)
        count++;
    if (!any)
        return (gint64)flags[random_below(random, count)].value;
    for (guint i = 0; i < count; i++)
        value |= random_percent(random, 35) ? (gint64)flags[i].value : 0;
    return value;
}

static gint64 make_number(struct model *model, const struct kind *kind, char letter)
{
    struct random *random = &model->random;
    switch (letter) {
    case 'q':
        return random_percent(random, 40) ? -1 : make_offset(random);
    case 'o':
        return make_offset(random);
    case 'p':
        return 4096 * (gint64)random_below(random, random_percent(random, 70) ? 1 : 4);
    case 'z':
        return make_length(random);
    case 'Z':
        return random_percent(random, 50) ? make_length(random) : make_offset(random);
    case 'k':
        return g_str_equal(kind->name, "mmap") ? 1 + (gint64)random_below(random, 40000)
                                               : (gint64)random_below(random, 40);
    case 'K':
        return 20 + (gint64)random_below(random, 200);
    case 'a':
        return random_percent(random, 30) ? (gint64)random_below(random, 2) - 1
                                          : 1000000000 + (gint64)random_below(random, 100000000);
    case 'm':
        return make_mode(random);
    case 'M':
        return 1 + (gint64)random_below(random, 3) + (random_percent(random, 65) ? 4 : 8);
    case 'R':
        return (gint64)kind->flags[random_percent(random, 65) ? 0 : 1 + random_below(random, 2)]
            .value;
    case '0':
        return 0;
    case 'w':
    case 'b':
        return make_flags(random, kind->flags, letter == 'b');
    case 'v':
        return (gint64)random_below(random, 100000);
    default:
        return make_open(random, letter);
    }
}

static char *make_path(struct model *model, char letter, char **plain)
{
    const char *kinds = letter == 'F' ? "f" : letter == 'd' ? "d" : letter == 'l' ? "l" : "fdlps";
    const struct node *node = NULL;
    if (letter == 'r')
        letter = random_percent(&model->random, 60) ? 'e' : 'N';
    if (letter != 'N' && !random_percent(&model->random, 4))
        node = model_pick(model, kinds);
    *plain = node != NULL ? g_strdup(node->path) : model_new_path(model);
    return model_write_path(model, plain);
}

static char *make_attribute(struct random *random)
{
    static const char *const names[] = { "user.a", "user.b",  "user.c.d",
                                         "user.",  "other.x", "user.\xff" };
    return g_strdup(names[random_below(random, random_percent(random, 90) ? 3 : 6)]);
}

/* --- operations --------------------------------------------------------------------------------
 */

/* What a row's paths are to the model: relative to the root. */
struct made {
    struct op op;
    char *paths[ARGUMENTS];
};

static void make_argument(struct model *model, struct made *made, size_t i, char letter)
{
    struct argument *argument = &made->op.arguments[i];
    switch (made->op.kind->signature[i]) {
    case 'p':
        argument->text = make_path(model, letter, &made->paths[i]);
        break;
    case 't':
        argument->text = letter == 'y' ? model_target(model) : make_attribute(&model->random);
        break;
    case 'm':
        argument->number = (gint64)random_below(&model->random, MAPS);
        break;
    case 's':
        argument->number = letter == 'n' ? (gint64)random_below(&model->random, SLOTS)
                                         : model_slot(model, letter == 'f'   ? "f"
                                                             : letter == 'D' ? "d"
                                                                             : "fdpsP");
        break;
    default:
        argument->number = make_number(model, made->op.kind, letter);
    }
}

static void believe_open(struct model *model, const struct made *made)
{
    const struct argument *a = made->op.arguments;
    struct opened *opened = &model->processes[model->process].slots[a[0].number];
    gint64 flags = a[2].number;
    g_clear_pointer(&opened->path, g_free);
    opened->kind = 0;
    if (made->paths[1] == NULL)
        return;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        opened->kind = 'f';
        return;
    }
    if (flags & O_CREAT)
        model_add(model, made->paths[1], 'f');
    opened->kind = model_kind(model, made->paths[1]);
    if (opened->kind == 'd' && flags & (O_WRONLY | O_RDWR | O_CREAT))
        opened->kind = 0;
    if (flags & O_PATH && opened->kind == 'f')
        opened->kind = 'P';
    opened->path = g_strdup(made->paths[1]);
}

static void believe_directory(struct model *model, const char *path)
{
    char **directory = &model->processes[model->process].directory;
    if (path == NULL || model_kind(model, path) != 'd')
        return;
    g_free(*directory);
    *directory = g_strdup(path);
}

static void believe_slots(struct model *model, const struct made *made)
{
    struct opened *slots = model->processes[model->process].slots;
    const struct argument *a = made->op.arguments;
    const char *name = made->op.kind->name;
    struct opened *slot = &slots[a[0].number];
    if (g_str_equal(name, "close")) {
        g_clear_pointer(&slot->path, g_free);
        slot->kind = 0;
    } else if (g_str_equal(name, "dup") || g_str_equal(name, "reopen")) {
        struct opened copy = { slots[a[1].number].kind, g_strdup(slots[a[1].number].path) };
        g_free(slot->path);
        *slot = copy;
    } else if (g_str_equal(name, "bind")) {
        g_clear_pointer(&slot->path, g_free);
        slot->kind = 's';
        if (made->paths[1] != NULL)
            model_add(model, made->paths[1], 's');
    } else if (g_str_equal(name, "fchdir") && slot->kind == 'd') {
        believe_directory(model, slot->path);
    }
}

static void believe_unlink(struct model *model, const struct made *made)
{
    const char *path = made->paths[0];
    bool directory = model_kind(model, path) == 'd';
    if (directory == (made->op.arguments[1].number != 0) &&
        (!directory || model_is_empty(model, path)))
        model_remove(model, path);
}

/* Which argument names what is made, and what that is. */
static void believe_made(struct model *model, const struct made *made)
{
    static const struct {
        const char *name;
        unsigned path;
        char kind;
    } makes[] = { { "create", 0, 'f' }, { "mkdir", 0, 'd' },  { "symlink", 1, 'l' },
                  { "link", 1, 'f' },   { "linkfd", 1, 'f' }, { "script", 0, 'f' } };
    for (size_t i = 0; i < G_N_ELEMENTS(makes); i++) {
        const char *path = made->paths[makes[i].path];
        if (path != NULL && g_str_equal(made->op.kind->name, makes[i].name))
            model_add(model, path, makes[i].kind);
    }
}

/* As if it had succeeded, where that is likely. */
static void believe(struct model *model, const struct made *made)
{
    const char *name = made->op.kind->name;
    gint64 second = made->op.arguments[1].number;
    if (g_str_equal(name, "open"))
        believe_open(model, made);
    else if (g_str_equal(name, "unlink") && made->paths[0] != NULL)
        believe_unlink(model, made);
    else if (g_str_equal(name, "rename") && made->paths[0] != NULL && made->paths[1] != NULL)
        model_move(model, made->paths[0], made->paths[1]);
    else if (g_str_equal(name, "mknod") && made->paths[0] != NULL &&
             (second == S_IFREG || second == S_IFIFO || second == S_IFSOCK))
        model_add(model, made->paths[0], second == S_IFREG ? 'f' : second == S_IFIFO ? 'p' : 's');
    else if (g_str_equal(name, "chdir"))
        believe_directory(model, made->paths[0]);
    else if (made->op.kind->signature[0] == 's')
        believe_slots(model, made);
    believe_made(model, made);
}

static const struct row *choose(struct random *random, const struct row *table, size_t count)
{
    unsigned total = 0;
    for (size_t i = 0; i < count; i++)
        total += table[i].weight;
    guint64 at = random_below(random, total);
    while (at >= table->weight)
        at -= (table++)->weight;
    return table;
}

/* Is there a descriptor of the kind that the row's first argument wants? */
static bool is_ready(struct model *model, const struct row *row)
{
    const char *kinds = row->arguments[0] == 'f'   ? "f"
                        : row->arguments[0] == 'D' ? "d"
                        : row->arguments[0] == 's' ? "fdpsP"
                                                   : NULL;
    if (kinds == NULL)
        return true;
    int slot = model_slot(model, kinds);
    char kind = model->processes[model->process].slots[slot].kind;
    return kind != 0 && strchr(kinds, kind) != NULL;
}

static void add_op(struct model *model, struct program *program, const struct row *row,
                   struct op op)
{
    struct made made = { .op = op };
    made.op.kind = kind_find(row->name);
    g_assert(made.op.kind != NULL && strlen(row->arguments) == strlen(made.op.kind->signature));
    for (size_t i = 0; row->arguments[i] != '\0'; i++)
        make_argument(model, &made, i, row->arguments[i]);
    believe(model, &made);
    for (size_t i = 0; i < ARGUMENTS; i++)
        g_free(made.paths[i]);
    g_array_append_val(program->ops, made.op);
}

/* --- programs ----------------------------------------------------------------------------------
 */

static void add_parallel(struct model *model, struct program *program, unsigned processes)
{
    static const char *const own[PROCESSES] = { "q0", "q1", "q2" };
    unsigned count = 8 + (unsigned)random_below(&model->random, 25);
    for (unsigned i = 0; i < processes; i++) {
        struct op op = { .kind = kind_find("mkdir"), .process = (guint8)i };
        op.arguments[0].text = g_strdup_printf("@/%s", own[i]);
        op.arguments[1].number = 0755;
        g_array_append_val(program->ops, op);
        model_add(model, own[i], 'd');
    }
    for (unsigned i = 0; i < count; i++) {
        model->process = (guint8)(i % processes);
        model->confined = own[i % processes];
        add_op(model, program, choose(&model->random, parallel_rows, G_N_ELEMENTS(parallel_rows)),
               (struct op){ .process = model->process, .parallel = true });
    }
    model->confined = NULL;
}

struct program *program_generate(guint64 seed)
{
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT, seed);
    struct program *program = program_new(name);
    struct model model;
    model_init(&model, seed);
    struct random *random = &model.random;
    unsigned processes = 1 + (unsigned)random_below(random, PROCESSES);
    unsigned threads = random_percent(random, 30) ? THREADS : 1;
    unsigned before = (unsigned)random_below(random, 14),
             count = 20 + (unsigned)random_below(random, 60);
    for (unsigned i = 0; i < before; i++)
        add_op(&model, program, choose(random, host_rows, G_N_ELEMENTS(host_rows)),
               (struct op){ .process = HOST });
    unsigned parallel =
        processes > 1 && random_percent(random, 20) ? (unsigned)random_below(random, count) : count;
    struct op op = { 0 };
    for (unsigned i = 0; i < 4; i++)
        add_op(&model, program, choose(random, first_rows, G_N_ELEMENTS(first_rows)), op);
    for (unsigned i = 0; i < count; i++) {
        if (i == parallel)
            add_parallel(&model, program, processes);
        if (random_percent(random, 35)) {
            op.process = (guint8)random_below(random, processes);
            op.thread = (guint8)random_below(random, threads);
        }
        model.process = op.process;
        const struct row *row = choose(random, rows, G_N_ELEMENTS(rows));
        if (!is_ready(&model, row))
            row = choose(random, first_rows, G_N_ELEMENTS(first_rows));
        add_op(&model, program, row, op);
    }
    model_release(&model);
    return program;
}
