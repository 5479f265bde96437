// SPDX-License-Identifier: Apache-2.0
/*
 * Patterns as the Lua 5.4 manual describes them (6.4.1), and the functions of `string` that take
 * one. Lua's own go back and forth for as long as it takes, without a limit, and go by the locale;
 * here every step is paid for, and letters are those of ASCII.
 */
#include "rules/rules-internal.h"

#include <string.h>

#define CAPTURES 32
#define DEPTH 200
#define PAID_AT_ONCE 1000

enum {
    OPEN = -1,     /* its end is not known yet */
    POSITION = -2, /* "()" */
};

struct capture {
    const char *start;
    ptrdiff_t length;
};

struct matcher {
    lua_State *lua;
    const char *text, *text_end, *pattern_end;
    int depth, steps, level;
    struct capture captures[CAPTURES];
};

static void step(struct matcher *m)
{
    if (++m->steps < PAID_AT_ONCE)
        return;
    m->steps = 0;
    vm_charge(m->lua, PAID_AT_ONCE);
}

static bool in_class(guchar c, char name)
{
    bool in;
    switch (g_ascii_tolower(name)) {
    case 'a':
        in = g_ascii_isalpha(c);
        break;
    case 'c':
        in = g_ascii_iscntrl(c);
        break;
    case 'd':
        in = g_ascii_isdigit(c);
        break;
    case 'g':
        in = g_ascii_isgraph(c);
        break;
    case 'l':
        in = g_ascii_islower(c);
        break;
    case 'p':
        in = g_ascii_ispunct(c);
        break;
    case 's':
        in = g_ascii_isspace(c) || c == '\v';
        break;
    case 'u':
        in = g_ascii_isupper(c);
        break;
    case 'w':
        in = g_ascii_isalnum(c);
        break;
    case 'x':
        in = g_ascii_isxdigit(c);
        break;
    default:
        return (guchar)name == c;
    }
    return g_ascii_isupper(name) ? !in : in;
}

/* Behind the one item (character, %class or [set]) that starts at `p`. */
static const char *item_end(struct matcher *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 >= m->pattern_end)
            luaL_error(m->lua, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[')
        return p;
    if (p < m->pattern_end && *p == '^')
        p++;
    for (bool first = true;; first = false) {
        if (p >= m->pattern_end)
            luaL_error(m->lua, "malformed pattern (missing ']')");
        if (*p == ']' && !first)
            return p + 1;
        p += *p == '%' && p + 1 < m->pattern_end ? 2 : 1;
    }
}

/* `p` is at "[", `end` at the closing "]". */
static bool in_set(guchar c, const char *p, const char *end)
{
    bool found = true;
    if (p[1] == '^') {
        found = false;
        p++;
    }
    while (++p < end) {
        if (*p == '%') {
            p++;
            if (in_class(c, *p))
                return found;
        } else if (p[1] == '-' && p + 2 < end) {
            if ((guchar)*p <= c && c <= (guchar)p[2])
                return found;
            p += 2;
        } else if ((guchar)*p == c) {
            return found;
        }
    }
    return !found;
}

static bool one_matches(struct matcher *m, const char *s, const char *p, const char *end)
{
    step(m);
    if (s >= m->text_end)
        return false;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class((guchar)*s, p[1]);
    case '[':
        return in_set((guchar)*s, p, end - 1);
    default:
        return *p == *s;
    }
}

static const char *match(struct matcher *m, const char *s, const char *p);

static const char *match_balanced(struct matcher *m, const char *s, const char *p)
{
    if (p + 1 >= m->pattern_end)
        luaL_error(m->lua, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->text_end || *s != *p)
        return NULL;
    int open = 1;
    while (++s < m->text_end) {
        step(m);
        if (*s == p[1]) {
            if (--open == 0)
                return s + 1;
        } else if (*s == *p) {
            open++;
        }
    }
    return NULL;
}

/* As many as there are, then fewer. */
static const char *match_most(struct matcher *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t count = 0;
    while (one_matches(m, s + count, p, end))
        count++;
    for (; count >= 0; count--) {
        const char *found = match(m, s + count, end + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const char *match_least(struct matcher *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = match(m, s, end + 1);
        if (found != NULL)
            return found;
        if (!one_matches(m, s, p, end))
            return NULL;
    }
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t what)
{
    if (m->level >= CAPTURES)
        luaL_error(m->lua, "too many captures");
    m->captures[m->level++] = (struct capture){ s, what };
    const char *found = match(m, s, p);
    if (found == NULL)
        m->level--;
    return found;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
    int level = m->level - 1;
    while (level >= 0 && m->captures[level].length != OPEN)
        level--;
    if (level < 0)
        luaL_error(m->lua, "invalid pattern capture");
    m->captures[level].length = s - m->captures[level].start;
    const char *found = match(m, s, p);
    if (found == NULL)
        m->captures[level].length = OPEN;
    return found;
}

static const char *match_again(struct matcher *m, const char *s, char digit)
{
    int level = digit - '1';
    if (level < 0 || level >= m->level || m->captures[level].length == OPEN)
        luaL_error(m->lua, "invalid capture index %%%d", level + 1);
    ptrdiff_t length = m->captures[level].length;
    if (length < 0)
        return NULL; /* a position is not text */
    vm_charge(m->lua, (guint64)length / 16);
    bool same = m->text_end - s >= length && memcmp(m->captures[level].start, s, length) == 0;
    return same ? s + length : NULL;
}

/* %f[set]: between a character outside of the set and one in it. */
static bool at_frontier(struct matcher *m, const char *s, const char *p, const char **after)
{
    if (p >= m->pattern_end || *p != '[')
        luaL_error(m->lua, "missing '[' after '%%f' in pattern");
    const char *end = item_end(m, p);
    guchar before = s == m->text ? 0 : (guchar)s[-1];
    guchar here = s == m->text_end ? 0 : (guchar)*s;
    *after = end;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1);
}

/* An item and what follows it; *s and *p move on if only they need to. NULL and *done: no match. */
static const char *match_item(struct matcher *m, const char **s, const char **p, bool *done)
{
    const char *end = item_end(m, *p), *found;
    char suffix = end < m->pattern_end ? *end : '\0';
    *done = true;
    switch (suffix) {
    case '?':
        if (one_matches(m, *s, *p, end) && (found = match(m, *s + 1, end + 1)) != NULL)
            return found;
        *p = end + 1;
        break;
    case '+':
        return one_matches(m, *s, *p, end) ? match_most(m, *s + 1, *p, end) : NULL;
    case '*':
        return match_most(m, *s, *p, end);
    case '-':
        return match_least(m, *s, *p, end);
    default:
        if (!one_matches(m, *s, *p, end))
            return NULL;
        (*s)++;
        *p = end;
    }
    *done = false;
    return NULL;
}

static const char *match_from(struct matcher *m, const char *s, const char *p)
{
    while (p < m->pattern_end) {
        step(m);
        char next = p + 1 < m->pattern_end ? p[1] : '\0';
        if (*p == '(')
            return next == ')' ? open_capture(m, s, p + 2, POSITION)
                               : open_capture(m, s, p + 1, OPEN);
        if (*p == ')')
            return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->text_end ? s : NULL;
        if (*p == '%' && next == 'b') {
            s = match_balanced(m, s, p + 2);
            p += 4;
        } else if (*p == '%' && next == 'f') {
            if (!at_frontier(m, s, p + 2, &p))
                return NULL;
        } else if (*p == '%' && g_ascii_isdigit(next)) {
            s = match_again(m, s, next);
            p += 2;
        } else {
            bool done;
            const char *found = match_item(m, &s, &p, &done);
            if (done)
                return found;
        }
        if (s == NULL)
            return NULL;
    }
    return s;
}

/* Where the text that matches from `s` on ends, or NULL. */
static const char *match(struct matcher *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH)
        luaL_error(m->lua, "pattern too complex");
    const char *found = match_from(m, s, p);
    m->depth--;
    return found;
}

/* --- captures --------------------------------------------------------------------------------- */

static void push_capture(struct matcher *m, int level, const char *s, const char *end)
{
    if (level >= m->level) {
        if (level != 0)
            luaL_error(m->lua, "invalid capture index %%%d", level + 1);
        lua_pushlstring(m->lua, s, (size_t)(end - s));
    } else if (m->captures[level].length == POSITION) {
        lua_pushinteger(m->lua, m->captures[level].start - m->text + 1);
    } else if (m->captures[level].length == OPEN) {
        luaL_error(m->lua, "unfinished capture");
    } else {
        lua_pushlstring(m->lua, m->captures[level].start, (size_t)m->captures[level].length);
    }
}

/* The captures, or without any the whole match if `s` is given. */
static int push_captures(struct matcher *m, const char *s, const char *end)
{
    int count = m->level == 0 && s != NULL ? 1 : m->level;
    luaL_checkstack(m->lua, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, s, end);
    return count;
}

static const char *match_fresh(struct matcher *m, const char *s, const char *p)
{
    m->level = 0;
    m->depth = 0;
    return match(m, s, p);
}

static const char *prepare(lua_State *lua, struct matcher *m, int text, int pattern)
{
    size_t text_size, pattern_size;
    m->lua = lua;
    m->steps = m->level = m->depth = 0;
    m->text = luaL_checklstring(lua, text, &text_size);
    m->text_end = m->text + text_size;
    const char *p = luaL_checklstring(lua, pattern, &pattern_size);
    m->pattern_end = p + pattern_size;
    return p;
}

/* --- functions -------------------------------------------------------------------------------- */

/* Offset of the 1-based, maybe negative, position in argument `index`; above `size`: beyond. */
static size_t start_of(lua_State *lua, int index, size_t size)
{
    lua_Integer at = luaL_optinteger(lua, index, 1);
    if (at > 0)
        return (size_t)at - 1;
    if (at == 0 || at < -(lua_Integer)size)
        return 0;
    return size - (size_t)-at;
}

static int push_plain(struct matcher *m, const char *p, size_t start)
{
    size_t size = (size_t)(m->pattern_end - p), left = (size_t)(m->text_end - m->text) - start;
    vm_charge(m->lua, left / 16);
    const char *found = size == 0 ? m->text + start : memmem(m->text + start, left, p, size);
    if (found == NULL) {
        lua_pushnil(m->lua);
        return 1;
    }
    lua_pushinteger(m->lua, found - m->text + 1);
    lua_pushinteger(m->lua, found - m->text + (lua_Integer)size);
    return 2;
}

static bool has_specials(const char *p, const char *end)
{
    for (; p < end; p++)
        if (*p != '\0' && strchr("^$*+?.([%-", *p) != NULL)
            return true;
    return false;
}

static int find_or_match(lua_State *lua, bool find)
{
    struct matcher m;
    const char *p = prepare(lua, &m, 1, 2);
    size_t start = start_of(lua, 3, (size_t)(m.text_end - m.text));
    if (start > (size_t)(m.text_end - m.text)) {
        lua_pushnil(lua);
        return 1;
    }
    if (find && (lua_toboolean(lua, 4) || !has_specials(p, m.pattern_end)))
        return push_plain(&m, p, start);
    bool anchored = p < m.pattern_end && *p == '^';
    p += anchored;
    for (const char *s = m.text + start; s <= m.text_end; s++) {
        const char *end = match_fresh(&m, s, p);
        if (end != NULL && !find)
            return push_captures(&m, s, end);
        if (end != NULL) {
            lua_pushinteger(lua, s - m.text + 1);
            lua_pushinteger(lua, end - m.text);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (anchored)
            break;
    }
    lua_pushnil(lua);
    return 1;
}

static int pattern_find(lua_State *lua)
{
    return find_or_match(lua, true);
}

static int pattern_match(lua_State *lua)
{
    return find_or_match(lua, false);
}

/* Upvalues: text, pattern, where to go on, where the last match ended (-1: none yet). */
static int gmatch_step(lua_State *lua)
{
    struct matcher m;
    lua_settop(lua, 0);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_pushvalue(lua, lua_upvalueindex(2));
    const char *p = prepare(lua, &m, 1, 2);
    lua_Integer start = lua_tointeger(lua, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(lua, lua_upvalueindex(4));
    for (; start <= m.text_end - m.text; start++) {
        const char *s = m.text + start, *end = match_fresh(&m, s, p);
        if (end == NULL || end - m.text == last)
            continue;
        lua_pushinteger(lua, end - m.text);
        lua_pushvalue(lua, -1);
        lua_replace(lua, lua_upvalueindex(3));
        lua_replace(lua, lua_upvalueindex(4));
        return push_captures(&m, s, end);
    }
    return 0;
}

static int pattern_gmatch(lua_State *lua)
{
    size_t size;
    luaL_checklstring(lua, 1, &size);
    luaL_checkstring(lua, 2);
    size_t start = start_of(lua, 3, size);
    lua_settop(lua, 2);
    lua_pushinteger(lua, (lua_Integer)MIN(start, size + 1));
    lua_pushinteger(lua, -1);
    lua_pushcclosure(lua, gmatch_step, 4);
    return 1;
}

/* The replacement text at 3, with %0 to %9 in it. */
static void add_text(struct matcher *m, luaL_Buffer *out, const char *s, const char *end)
{
    size_t size;
    const char *text = lua_tolstring(m->lua, 3, &size);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            luaL_addchar(out, text[i]);
            continue;
        }
        i++;
        if (i < size && text[i] == '%') {
            luaL_addchar(out, '%');
        } else if (i < size && text[i] == '0') {
            luaL_addlstring(out, s, (size_t)(end - s));
        } else if (i < size && g_ascii_isdigit(text[i])) {
            push_capture(m, text[i] - '1', s, end);
            luaL_tolstring(m->lua, -1, NULL);
            lua_remove(m->lua, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(m->lua, "invalid use of '%%' in replacement string");
        }
    }
}

static void add_replacement(struct matcher *m, luaL_Buffer *out, const char *s, const char *end)
{
    lua_State *lua = m->lua;
    int type = lua_type(lua, 3);
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        add_text(m, out, s, end);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(lua, 3);
        lua_call(lua, push_captures(m, s, end), 1);
    } else {
        push_capture(m, 0, s, end);
        lua_gettable(lua, 3);
    }
    if (!lua_toboolean(lua, -1)) {
        lua_pop(lua, 1);
        luaL_addlstring(out, s, (size_t)(end - s));
        return;
    }
    if (!lua_isstring(lua, -1))
        luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
    luaL_addvalue(out);
}

static int pattern_gsub(lua_State *lua)
{
    struct matcher m;
    const char *p = prepare(lua, &m, 1, 2), *s = m.text, *last = NULL;
    int type = lua_type(lua, 3);
    luaL_argexpected(lua,
                     type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer limit = luaL_optinteger(lua, 4, (m.text_end - m.text) + 1), count = 0;
    bool anchored = p < m.pattern_end && *p == '^';
    p += anchored;
    lua_settop(lua, 3);
    luaL_Buffer out;
    luaL_buffinit(lua, &out);
    while (count < limit) {
        const char *end = match_fresh(&m, s, p);
        if (end != NULL && end != last) {
            count++;
            add_replacement(&m, &out, s, end);
            s = last = end;
        } else if (s < m.text_end) {
            luaL_addchar(&out, *s++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    luaL_addlstring(&out, s, (size_t)(m.text_end - s));
    luaL_pushresult(&out);
    lua_pushinteger(lua, count);
    return 2;
}

const luaL_Reg pattern_functions[] = {
    { "find", pattern_find }, { "gmatch", pattern_gmatch },
    { "gsub", pattern_gsub }, { "match", pattern_match },
    { NULL, NULL },
};
