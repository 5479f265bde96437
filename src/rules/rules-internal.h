// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of rules/ share.
 *
 * Lua raises errors by longjmp, which runs no scope clean-up. So a function that Lua calls either
 * owns nothing while it may raise, or lets a helper do the work between lua_enter() and
 * lua_leave(): there, memory is never refused and nothing else that is used raises. It raises what
 * the helper returned once all is cleaned up.
 */
#ifndef RULES_INTERNAL_H
#define RULES_INTERNAL_H

#include "engine/engine.h"
#include "rules/rules.h"

#include <lauxlib.h>
#include <lua.h>

#define RULES_INSTRUCTIONS 100000000
#define RULES_MEMORY ((size_t)512 << 20)

struct place {
    const char *file; /* interned: g_intern_string() */
    guint line;       /* 0: unknown */
};

struct record {
    const char *name;
    struct value_type *type;
    struct place place;
};

struct declared_get {
    char *output;
    char **inputs;
};

struct declared_rule {
    struct rules *rules;
    char *name, *output, **params;
    GArray *gets; /* of struct declared_get */
    bool uncacheable;
    int run;    /* reference into the registry; LUA_NOREF: none */
    int locals; /* of its file that it can reach, and what they were; LUA_NOREF: not known yet */
    struct place place;
};

struct rules {
    lua_State *lua;
    char *root, *shown, *directory; /* directory: of the first file, "" or "dir/" */
    rules_read read;
    void *user;
    struct graph_input *input;
    GHashTable *records; /* name -> struct record */
    GPtrArray *declared; /* struct declared_rule, in order */
    GHashTable *names;   /* of rules: name -> struct declared_rule, the first */
    GHashTable *files;   /* path -> GINT_TO_POINTER(reference to what it returned); 0: loading */
    GPtrArray *loading;  /* paths, the innermost last */
    struct digest_context sources;
    struct digest digest;
    struct task *task;  /* that runs now */
    struct place error; /* of the last error that vm_call() caught */

    guint64 instructions;
    gint64 remaining; /* of them; below 0: the limit is reached */
    size_t memory, memory_limit, refused;
    guint lenient;
    bool spent; /* a limit was reached */
};

/* --- rules-vm.c: the interpreter and its limits ----------------------------------------------- */

bool vm_open(struct rules *rules);
struct rules *vm_rules(lua_State *lua);
void lua_enter(struct rules *rules);
void lua_leave(struct rules *rules);
gint64 vm_budget(const struct rules *rules); /* instructions for one piece of work */
/* From now on the thread may use up to `instructions`. */
void vm_spend(struct rules *rules, lua_State *thread, gint64 instructions);
/* Was a limit reached since vm_spend()? */
bool vm_is_spent(const struct rules *rules);
/* Costs as much as `instructions` of them; raises if that is too much. */
void vm_charge(lua_State *lua, guint64 instructions);
void vm_charge_memory(lua_State *lua, gint64 bytes);
/*
 * Like lua_pcall(): NULL, or what was wrong, owned by the caller, with its place in rules->error.
 */
char *vm_call(struct rules *rules, lua_State *lua, int arguments, int results);
/* What is on top of the stack, as an error message without place; pops it. */
char *vm_message(struct rules *rules, lua_State *lua, int status);
/* Where the Lua code at `level` is; file NULL if it is no Lua code. */
struct place vm_place(lua_State *lua, int level);
/* An error with the text, which it frees. */
int vm_raise(lua_State *lua, char *text);

/* --- rules-library.c, rules-pattern.c: what Lua code can call --------------------------------- */

/* Fill the table of globals, which is on top of the stack. */
void library_open(lua_State *lua);
/* Put a sealed table in place of the one on top of the stack. */
void library_seal(lua_State *lua);
extern const luaL_Reg pattern_functions[];
/* Push what tostring() gives for the value at `index`. */
void library_tostring(lua_State *lua, int index);

/* --- rules-box.c: values in Lua --------------------------------------------------------------- */

void box_open(lua_State *lua);
/* A value as Lua sees it; records and lists become userdata. Takes no reference of the caller's. */
void box_push(lua_State *lua, struct value *value);
/* Never raises between lua_enter() and lua_leave(). NULL and *problem on failure. */
struct value *box_take(lua_State *lua, int index, char **problem);
struct value *box_value(lua_State *lua, int index); /* NULL: no record or list */
/* Push a function that makes records of the type out of tables. */
void box_push_constructor(lua_State *lua, struct value_type *type);

/* --- rules-declare.c: record, rule, query ----------------------------------------------------- */

void declare_open(lua_State *lua);
void declared_rule_free(gpointer rule);
void record_free(gpointer record);
bool name_is_type(const char *name);
void rules_fault(struct rules *rules, struct place place, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Between lua_enter() and lua_leave(). */
void declare_record_of(struct rules *rules, const char *name, const char *const *fields,
                       struct place place);

/* --- rules-intrinsics.c ----------------------------------------------------------------------- */

void intrinsics_declare_records(struct rules *rules);
/* When all others are declared. */
void intrinsics_declare_rules(struct rules *rules);

/* --- rules-task.c: rules that run ------------------------------------------------------------- */

extern const struct engine_operations task_operations;
void task_open(lua_State *lua);

/* --- rules-freeze.c: what rules must leave as it is; between lua_enter() and lua_leave() -------
 */

/* Put the content of the table at `index` in its place; true if it is read-only. Never raises. */
bool freeze_see_through(lua_State *lua, int index);
void freeze_rule(struct declared_rule *rule);
/* A local of its file that the rule has set, or NULL; all are as before then. Caller frees. */
char *freeze_changed(const struct declared_rule *rule);

/* --- rules-load.c ----------------------------------------------------------------------------- */

int load_include(lua_State *lua);

#endif
