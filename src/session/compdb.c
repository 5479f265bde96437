// SPDX-License-Identifier: Apache-2.0
/*
 * A compilation database (clang's JSONCompilationDatabase) out of traces: every process on record
 * that ran a compiler on a source that is still there. Of equal file and output the newest counts.
 */
#include "base/fault.h"
#include "session/kept.h"

#include <jansson.h>
#include <string.h>

/* A target's prefix and a version at the end do not count: x86_64-linux-gnu-gcc-12. */
static const char *const compilers[] = {
    "cc", "c++", "gcc", "g++", "clang", "clang++", "c89", "c99"
};

static const char *const sources[] = { ".c",  ".cc", ".cpp", ".cxx", ".c++", ".C", ".m",
                                       ".mm", ".s",  ".S",   ".i",   ".ii",  ".cu" };

/* Options whose value is the next argument. */
static const char *const with_value[] = {
    "-o",       "-I",        "-D",       "-U",           "-L",
    "-l",       "-x",        "-MF",      "-MT",          "-MQ",
    "-include", "-imacros",  "-isystem", "-idirafter",   "-iquote",
    "-iprefix", "-isysroot", "-Xlinker", "-Xassembler",  "-Xpreprocessor",
    "-Xclang",  "-target",   "-arch",    "-T",           "-u",
    "-z",       "-aux-info", "--param",  "-iwithprefix", "-iwithprefixbefore",
    "-mllvm",   "-B",
};

struct database {
    struct session *session;
    json_t *entries;  /* array */
    GHashTable *seen; /* set of "file\noutput" */
};

static bool is_one_of(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

static bool is_compiler(const struct trace_process *process)
{
    char *const *argv = process->argv;
    if (argv == NULL || argv[0] == NULL || (argv[1] != NULL && strcmp(argv[1], "-cc1") == 0))
        return false;
    g_autofree char *name = g_path_get_basename(argv[0]);
    char *end = name + strlen(name);
    while (end > name && (g_ascii_isdigit(end[-1]) || end[-1] == '.'))
        end--;
    if (end > name && end[-1] == '-')
        end[-1] = '\0';
    for (const char *at = name; at != NULL; at = strchr(at, '-')) {
        at += *at == '-';
        if (is_one_of(compilers, G_N_ELEMENTS(compilers), at))
            return true;
    }
    return false;
}

static bool is_source(const char *word)
{
    const char *dot = strrchr(word, '.');
    return word[0] != '-' && dot != NULL && strchr(dot, '/') == NULL &&
           is_one_of(sources, G_N_ELEMENTS(sources), dot);
}

/* In a canonical run the workspace was elsewhere. */
static char *real_directory(const struct database *database, const char *workspace,
                            const char *directory)
{
    size_t length = strlen(workspace);
    if (strncmp(directory, workspace, length) != 0 ||
        (directory[length] != '/' && directory[length] != '\0'))
        return g_strdup(directory);
    return g_strconcat(database->session->root, directory + length, NULL);
}

/* What the compiler calls the object if nobody says. */
static char *default_output(const char *source)
{
    g_autofree char *name = g_path_get_basename(source);
    *strrchr(name, '.') = '\0';
    return g_strconcat(name, ".o", NULL);
}

static void add_entry(struct database *database, const char *directory, char *const *argv,
                      const char *source, const char *output)
{
    g_autofree char *path = g_canonicalize_filename(source, directory);
    g_autofree char *key = g_strconcat(path, "\n", output, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS) || g_hash_table_contains(database->seen, key))
        return;
    g_hash_table_add(database->seen, g_steal_pointer(&key));
    json_t *arguments = json_array();
    for (char *const *word = argv; *word != NULL; word++) {
        g_autofree char *valid = g_utf8_make_valid(*word, -1);
        json_array_append_new(arguments, json_string(valid));
    }
    g_autofree char *file = g_utf8_make_valid(source, -1);
    json_t *entry =
        json_pack("{s:s, s:s, s:o}", "directory", directory, "file", file, "arguments", arguments);
    if (output != NULL && entry != NULL)
        json_object_set_new(entry, "output", json_string(output));
    if (entry != NULL)
        json_array_append_new(database->entries, entry);
}

static void add_process(struct database *database, const char *workspace,
                        const struct trace_process *process)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new();
    const char *output = NULL;
    bool compiles = true, object = false;
    for (char *const *word = process->argv + 1; *word != NULL; word++) {
        object = object || strcmp(*word, "-c") == 0 || strcmp(*word, "-S") == 0;
        compiles = compiles && strcmp(*word, "-E") != 0 && strcmp(*word, "-M") != 0 &&
                   strcmp(*word, "-MM") != 0;
        if (strncmp(*word, "-o", 2) == 0 && (*word)[2] != '\0')
            output = *word + 2;
        if (is_source(*word))
            g_ptr_array_add(files, *word);
        if (!is_one_of(with_value, G_N_ELEMENTS(with_value), *word) || word[1] == NULL)
            continue;
        if (strcmp(*word, "-o") == 0)
            output = word[1];
        word++;
    }
    if (!compiles || process->directory == NULL)
        return;
    g_autofree char *directory = real_directory(database, workspace, process->directory);
    for (guint i = 0; i < files->len; i++) {
        g_autofree char *made =
            output == NULL && object ? default_output(files->pdata[i]) : g_strdup(output);
        add_entry(database, directory, process->argv, files->pdata[i], made);
    }
}

/* A compiler that another one runs, as ccache and drivers do, does the same work. */
static bool has_compiler_above(const struct trace *trace, guint32 number)
{
    const struct trace_process *process = trace_process(trace, number);
    while (process->parent != 0) {
        process = trace_process(trace, process->parent);
        if (is_compiler(process))
            return true;
    }
    return false;
}

static void add_run(struct database *database, const struct history_entry *run)
{
    g_autoptr(trace) trace = kept_trace(database->session, run, NULL);
    g_autoptr(action) action = trace == NULL ? NULL : kept_action(database->session, run);
    const char *workspace = action == NULL ? NULL : action_property(action, "workspace");
    for (guint32 i = 1; trace != NULL && i <= trace_process_count(trace); i++)
        if (is_compiler(trace_process(trace, i)) && !has_compiler_above(trace, i))
            add_process(database, workspace == NULL ? database->session->root : workspace,
                        trace_process(trace, i));
}

static bool visit(const struct history_entry *entry, void *user)
{
    struct database *database = user;
    if (g_strcmp0(entry->workspace, database->session->root) == 0)
        add_run(database, entry);
    return true;
}

char *session_compdb(struct session *session, const guint *number, GError **error)
{
    g_autoptr(history_entry) run = NULL;
    if (number != NULL &&
        (run = history_find(session->store, session->root, *number, error)) == NULL)
        return NULL;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct database database = { session, json_array(), seen };
    if (run != NULL)
        add_run(&database, run);
    else
        history_each(session->store, visit, &database);
    char *text = NULL;
    if (json_array_size(database.entries) == 0) {
        fault_set(error, FAULT_MISSING, "no recorded run of %s has compiled a file that is there",
                  session->root);
    } else {
        char *dumped = json_dumps(database.entries, JSON_INDENT(1));
        text = g_strconcat(dumped, "\n", NULL);
        free(dumped);
    }
    json_decref(database.entries);
    return text;
}
