// SPDX-License-Identifier: Apache-2.0
/* Reads files and runs them; each once, whatever includes it. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/path.h"
#include "rules/rules-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SOURCE_LIMIT ((size_t)16 << 20)
#define NESTING 64

static GBytes *read_below(const char *path, void *user, GError **error)
{
    const struct rules *rules = user;
    g_autofree char *whole = g_build_filename(rules->root, path, NULL);
    struct stat status;
    autofd int file = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0 || fstat(file, &status) < 0) {
        fault_errno(error, errno, "cannot read %s", whole);
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(error, FAULT_UNSUPPORTED, "%s is not a regular file", whole);
        return NULL;
    }
    return fd_read_all(file, SOURCE_LIMIT, whole, error);
}

/* Names and contents go one after the other, each with its length. */
static void add_source(struct rules *rules, const char *path, GBytes *bytes)
{
    const guint64 sizes[] = { GUINT64_TO_LE(strlen(path)), GUINT64_TO_LE(g_bytes_get_size(bytes)) };
    digest_update(&rules->sources, sizes, sizeof sizes);
    digest_update(&rules->sources, path, strlen(path));
    digest_update(&rules->sources, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* "x.lua:12: why" of a file that does not compile: 12, and text moved on to "why". */
static guint compile_line(lua_State *lua, const char *chunk, const char **text)
{
    guint line = 0;
    lua_Debug debug;
    if (luaL_loadbufferx(lua, "", 0, chunk, "t") == LUA_OK) {
        lua_pushvalue(lua, -1);
        lua_getinfo(lua, ">S", &debug);
        size_t length = strlen(debug.short_src);
        if (strncmp(*text, debug.short_src, length) == 0 && (*text)[length] == ':') {
            char *end;
            line = (guint)g_ascii_strtoull(*text + length + 1, &end, 10);
            *text = g_str_has_prefix(end, ": ") ? end + 2 : end;
        }
    }
    lua_pop(lua, 1);
    return line;
}

/* Push the function that the file is; false after reporting why not. */
static bool compile(struct rules *rules, lua_State *lua, const char *shown, GBytes *bytes)
{
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);
    g_autofree char *chunk = g_strconcat("@", shown, NULL);
    struct place place = { g_intern_string(shown), 0 };
    if (size > 0 && *data == '#') { /* a line for the kernel */
        const char *line = memchr(data, '\n', size);
        size_t skip = line == NULL ? size : (size_t)(line - data);
        data += skip;
        size -= skip;
    }
    int status = luaL_loadbufferx(lua, data, size, chunk, "t");
    if (status == LUA_OK)
        return true;
    const char *text = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "?";
    if (status == LUA_ERRSYNTAX)
        place.line = compile_line(lua, chunk, &text);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    rules_fault(rules, place, "%s", valid);
    lua_pop(lua, 1);
    return false;
}

/* What a file returned stays in the registry, for whoever includes it again. */
static void run_file(struct rules *rules, lua_State *lua, const char *path, const char *shown)
{
    guint lenient = rules->lenient;
    rules->lenient = 0;
    g_ptr_array_add(rules->loading, (gpointer)path);
    char *problem = vm_call(rules, lua, 0, 1);
    g_ptr_array_set_size(rules->loading, (gint)rules->loading->len - 1);
    rules->lenient = lenient;
    if (problem != NULL) {
        struct place place = { g_intern_string(shown), 0 };
        rules_fault(rules, rules->error.file != NULL ? rules->error : place, "%s", problem);
        lua_pushnil(lua);
    }
    g_free(problem);
    g_hash_table_replace(rules->files, g_strdup(path),
                         GINT_TO_POINTER(luaL_ref(lua, LUA_REGISTRYINDEX)));
}

static bool load_file(struct rules *rules, lua_State *lua, const char *path, GError **error)
{
    g_autofree char *shown = g_strconcat(rules->shown, path, NULL);
    g_autoptr(GBytes) bytes = rules->read(path, rules->user, error);
    if (bytes == NULL)
        return false;
    char *name = g_strdup(path);
    g_hash_table_insert(rules->files, name, GINT_TO_POINTER(0));
    add_source(rules, path, bytes);
    g_autofree char *kept = g_strdup(path); /* the table's own is replaced in between */
    if (compile(rules, lua, shown, bytes))
        run_file(rules, lua, kept, shown);
    else
        g_hash_table_replace(rules->files, g_strdup(path), GINT_TO_POINTER(LUA_REFNIL));
    return true;
}

/* The path that `word` means in the innermost file, or NULL and *problem. */
static char *include_path(struct rules *rules, const char *word, char **problem)
{
    const char *from = g_ptr_array_index(rules->loading, rules->loading->len - 1);
    g_autofree char *directory = g_path_get_dirname(from);
    g_autofree char *joined = g_build_filename(directory, word, NULL);
    g_autofree char *path = path_normalize(joined);
    if (*word == '\0' || *word == '/' || strcmp(path, "..") == 0 || g_str_has_prefix(path, "../") ||
        !g_str_has_prefix(path, rules->directory)) {
        *problem = g_strdup_printf("include \"%s\": not a file below that of the first file", word);
        return NULL;
    }
    return g_steal_pointer(&path);
}

/* Load the file that `word` means, if it is not, and push what it returned. */
static char *include(struct rules *rules, lua_State *lua, const char *word)
{
    char *problem = NULL;
    gpointer known;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = include_path(rules, word, &problem);
    if (path == NULL)
        return problem;
    if (rules->loading->len >= NESTING)
        return g_strdup_printf("include \"%s\": nested too deep", word);
    if (!g_hash_table_contains(rules->files, path) && !load_file(rules, lua, path, &error))
        return g_strdup_printf("include \"%s\": %s", word, error->message);
    known = g_hash_table_lookup(rules->files, path);
    if (known == NULL)
        return g_strdup_printf("include \"%s\": the file includes itself", word);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, GPOINTER_TO_INT(known));
    return NULL;
}

int load_include(lua_State *lua)
{
    struct rules *rules = vm_rules(lua);
    size_t size;
    const char *word = luaL_checklstring(lua, 1, &size);
    luaL_argcheck(lua, strlen(word) == size && g_utf8_validate(word, -1, NULL), 1,
                  "a path is UTF-8 without NUL");
    if (rules->loading->len == 0)
        return luaL_error(lua, "include is for files, not for rules");
    lua_enter(rules);
    char *problem = include(rules, lua, word);
    lua_leave(rules);
    if (problem != NULL) {
        rules_fault(rules, vm_place(lua, 1), "%s", problem);
        g_free(problem);
        lua_pushnil(lua);
    }
    return 1;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void load_first(struct rules *rules, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = path_normalize(file);
    const char *slash = strrchr(path, '/');
    rules->directory = slash == NULL ? g_strdup("") : g_strndup(path, (gsize)(slash + 1 - path));
    lua_enter(rules);
    intrinsics_declare_records(rules);
    if (!load_file(rules, rules->lua, path, &error)) {
        g_autofree char *shown = g_strconcat(rules->shown, path, NULL);
        rules_fault(rules, (struct place){ g_intern_string(shown), 0 }, "%s", error->message);
    }
    intrinsics_declare_rules(rules);
    lua_leave(rules);
    digest_finish(&rules->sources, &rules->digest);
}

struct rules *rules_load(const char *file, const struct rules_options *options)
{
    static const struct rules_options defaults = { 0 };
    options = options != NULL ? options : &defaults;
    struct rules *rules = g_new0(struct rules, 1);
    rules->root = g_strdup(options->root != NULL ? options->root : ".");
    rules->shown = g_strdup(options->shown != NULL ? options->shown : "");
    rules->read = options->read != NULL ? options->read : read_below;
    rules->user = options->read != NULL ? options->user : rules;
    rules->instructions = options->instructions ? options->instructions : RULES_INSTRUCTIONS;
    rules->memory_limit = options->memory ? options->memory : RULES_MEMORY;
    rules->input = graph_input_new();
    rules->records = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, record_free);
    rules->declared = g_ptr_array_new_with_free_func(declared_rule_free);
    rules->names = g_hash_table_new(g_str_hash, g_str_equal);
    rules->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    rules->loading = g_ptr_array_new();
    digest_init(&rules->sources);
    if (!vm_open(rules))
        g_error("no memory for Lua");
    load_first(rules, file);
    return rules;
}

void rules_free(struct rules *rules)
{
    if (rules == NULL)
        return;
    rules->lenient++;
    lua_close(rules->lua);
    graph_input_free(rules->input);
    g_hash_table_unref(rules->names);
    g_ptr_array_unref(rules->declared);
    g_hash_table_unref(rules->records);
    g_hash_table_unref(rules->files);
    g_ptr_array_unref(rules->loading);
    g_free(rules->root);
    g_free(rules->shown);
    g_free(rules->directory);
    g_free(rules);
}

const struct graph_input *rules_graph_input(const struct rules *rules)
{
    return rules->input;
}

const struct digest *rules_digest(const struct rules *rules)
{
    return &rules->digest;
}
