// SPDX-License-Identifier: Apache-2.0
/* The generator's guess at the tree, and the paths it makes from it. */
#include "generate.h"

#include <string.h>

static void node_clear(void *data)
{
    g_free(((struct node *)data)->path);
}

void model_init(struct model *model, guint64 seed)
{
    *model = (struct model){ .random = { seed * 0x2545f4914f6cdd1dULL + 1 } };
    model->nodes = g_array_new(FALSE, TRUE, sizeof(struct node));
    g_array_set_clear_func(model->nodes, node_clear);
    struct node root = { g_strdup(""), 'd' };
    g_array_append_val(model->nodes, root);
    for (unsigned i = 0; i < PROCESSES; i++)
        model->processes[i].directory = g_strdup("");
}

void model_release(struct model *model)
{
    g_array_unref(model->nodes);
    for (unsigned i = 0; i < PROCESSES; i++) {
        g_free(model->processes[i].directory);
        for (unsigned s = 0; s < SLOTS; s++)
            g_free(model->processes[i].slots[s].path);
    }
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static struct node *node_at(struct model *model, guint i)
{
    return &g_array_index(model->nodes, struct node, i);
}

/* `path` seen from the directory `base`: "" for itself, NULL if it is not below. */
static const char *below(const char *path, const char *base)
{
    size_t length = strlen(base);
    if (length == 0)
        return path;
    if (strncmp(path, base, length) != 0)
        return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] == '\0' ? path + length : NULL;
}

const struct node *model_pick(struct model *model, const char *kinds)
{
    const struct node *found = NULL;
    guint seen = 0;
    for (guint i = 0; i < model->nodes->len; i++) {
        const struct node *node = node_at(model, i);
        if (strchr(kinds, node->kind) == NULL)
            continue;
        const char *rest = model->confined == NULL ? "x" : below(node->path, model->confined);
        if (rest == NULL || *rest == '\0')
            continue;
        if (random_below(&model->random, ++seen) == 0)
            found = node;
    }
    return found;
}

char model_kind(const struct model *model, const char *path)
{
    for (guint i = 0; i < model->nodes->len; i++) {
        const struct node *node = &g_array_index(model->nodes, struct node, i);
        if (g_str_equal(node->path, path))
            return node->kind;
    }
    return 0;
}

bool model_is_empty(const struct model *model, const char *path)
{
    for (guint i = 0; i < model->nodes->len; i++) {
        const char *rest = below(g_array_index(model->nodes, struct node, i).path, path);
        if (rest != NULL && *rest != '\0')
            return false;
    }
    return true;
}

static bool has_parent(const struct model *model, const char *path)
{
    const char *slash = strrchr(path, '/');
    g_autofree char *parent = g_strndup(path, slash == NULL ? 0 : (size_t)(slash - path));
    return model_kind(model, parent) == 'd';
}

void model_add(struct model *model, const char *path, char kind)
{
    if (model->nodes->len >= 60 || model_kind(model, path) != 0 || !has_parent(model, path))
        return;
    struct node node = { g_strdup(path), kind };
    g_array_append_val(model->nodes, node);
}

void model_remove(struct model *model, const char *path)
{
    for (guint i = model->nodes->len; i > 1; i--) {
        if (below(node_at(model, i - 1)->path, path) != NULL)
            g_array_remove_index(model->nodes, i - 1);
    }
}

static void move(char **path, const char *from, const char *to)
{
    const char *rest = *path == NULL ? NULL : below(*path, from);
    if (rest == NULL)
        return;
    char *moved = *rest == '\0' ? g_strdup(to) : g_strdup_printf("%s/%s", to, rest);
    g_free(*path);
    *path = moved;
}

void model_move(struct model *model, const char *from, const char *to)
{
    char source = model_kind(model, from), target = model_kind(model, to);
    bool fits =
        target == 0 || (source == 'd' ? target == 'd' && model_is_empty(model, to) : target != 'd');
    if (source == 0 || *from == '\0' || below(to, from) != NULL || !fits || !has_parent(model, to))
        return;
    model_remove(model, to);
    for (guint i = 1; i < model->nodes->len; i++)
        move(&node_at(model, i)->path, from, to);
    for (unsigned p = 0; p < PROCESSES; p++) {
        move(&model->processes[p].directory, from, to);
        for (unsigned s = 0; s < SLOTS; s++)
            move(&model->processes[p].slots[s].path, from, to);
    }
}

/* --- paths -------------------------------------------------------------------------------------
 */

static char *make_name(struct model *model)
{
    static const char *const odd[] = {
        "\xff\xfe", "new\nline", "sp ace",       "\xc3\xbc\"", ".hidden",
        "-",        "back\\sla", "\xed\xa0\x80", "a:b",        "..x",
    };
    if (random_percent(&model->random, 85))
        return g_strdup_printf("%c", (char)('a' + random_below(&model->random, 6)));
    if (random_percent(&model->random, 25))
        return g_strnfill(255, (char)('m' + random_below(&model->random, 3)));
    return g_strdup(odd[random_below(&model->random, G_N_ELEMENTS(odd))]);
}

char *model_new_path(struct model *model)
{
    const char *kinds = random_percent(&model->random, 88) ? "d" : "dlf";
    const struct node *node = model_pick(model, model->confined != NULL ? "d" : kinds);
    const char *parent = node == NULL ? "" : node->path;
    g_autofree char *name = make_name(model);
    if (model->confined != NULL && (node == NULL || random_percent(&model->random, 50)))
        parent = model->confined;
    if (*parent == '\0')
        return g_steal_pointer(&name);
    return g_strdup_printf("%s/%s", parent, name);
}

/* Spelled in an unusual way, which mostly still leads there. */
static char *odd_path(struct model *model, const char *path)
{
    switch (random_below(&model->random, 9)) {
    case 0:
        return g_strdup("");
    case 1:
        return g_strdup_printf("@/%s/", path);
    case 2:
        return g_strdup_printf("@//%s/.", path);
    case 3:
        return g_strdup_printf("@/./a/../%s", path);
    case 4:
        return g_strdup(random_percent(&model->random, 50) ? "." : "..");
    case 5: {
        g_autofree char *name = g_strnfill(256, 'z');
        return g_strdup_printf("@/%s", name);
    }
    case 6: {
        g_autofree char *name = g_strnfill(random_percent(&model->random, 50) ? 2040 : 2100, 'z');
        for (size_t i = 1; i < strlen(name); i += 2)
            name[i] = '/';
        return g_strdup_printf("@/%s%s", name, name);
    }
    case 7:
        return g_strdup_printf("@/%s/..", path);
    default:
        return g_strdup_printf("@/%s/nothing/here", path);
    }
}

/* Through a descriptor of a directory above; NULL if there is none. */
static char *path_by_slot(struct model *model, const char *path)
{
    const struct believed *process = &model->processes[model->process];
    unsigned first = (unsigned)random_below(&model->random, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        unsigned slot = (first + i) % SLOTS;
        const struct opened *opened = &process->slots[slot];
        const char *rest = opened->path == NULL ? NULL : below(path, opened->path);
        if (rest != NULL && (opened->kind == 'd' || random_percent(&model->random, 5)))
            return g_strdup_printf("%%%u/%s", slot, rest);
    }
    return NULL;
}

char *model_write_path(struct model *model, char **path)
{
    const char *rest = below(*path, model->processes[model->process].directory);
    guint64 way = random_below(&model->random, 100);
    char *written = NULL;
    if (model->confined == NULL && way < 4) {
        written = odd_path(model, *path);
        g_clear_pointer(path, g_free);
        return written;
    }
    if (model->confined == NULL && way < 40 && rest != NULL)
        return g_strdup(*rest == '\0' ? "." : rest);
    if (model->confined == NULL && way < 65)
        written = path_by_slot(model, *path);
    return written != NULL ? written : g_strdup_printf("@/%s", *path);
}

char *model_target(struct model *model)
{
    const struct node *node = model_pick(model, "fdlps");
    const char *path = node == NULL ? "" : node->path;
    const char *name = strrchr(path, '/');
    guint64 way = random_below(&model->random, 100);
    if (model->confined != NULL || way < 10)
        return g_strdup("nowhere");
    if (way < 45)
        return g_strdup_printf("@/%s", path);
    if (way < 85)
        return g_strdup_printf("%s%s", random_percent(&model->random, 70) ? "" : "../",
                               name == NULL ? (*path == '\0' ? "." : path) : name + 1);
    if (way < 88)
        return g_strnfill(1 + random_below(&model->random, 4094), 't');
    return make_name(model);
}

int model_slot(struct model *model, const char *kinds)
{
    const struct believed *process = &model->processes[model->process];
    unsigned first = (unsigned)random_below(&model->random, SLOTS);
    if (random_percent(&model->random, 95)) {
        for (unsigned i = 0; i < SLOTS; i++) {
            unsigned slot = (first + i) % SLOTS;
            if (process->slots[slot].kind != 0 && strchr(kinds, process->slots[slot].kind) != NULL)
                return (int)slot;
        }
    }
    return (int)first;
}
