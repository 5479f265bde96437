// SPDX-License-Identifier: Apache-2.0
/*
 * Actions as Remote Execution API messages: Action { command_digest = 1; input_root_digest = 2;
 * timeout = 6 }, Command { arguments = 1; environment_variables = 2; platform = 5;
 * working_directory = 6; output_paths = 7 }. What those have no field for (stdin, network, outputs
 * that are globs or lie outside of the working directory) are properties of the platform.
 * doc/format/action.md.
 */
#include "action/action.h"
#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"

#include <string.h>

static void put_pair(GByteArray *out, guint32 number, const char *name, size_t name_size,
                     const char *value)
{
    g_autoptr(GByteArray) pair = g_byte_array_new();
    if (name_size > 0)
        wire_put_bytes(pair, 1, name, name_size);
    wire_put_string(pair, 2, value);
    wire_put_message(out, number, pair);
}

static void put_assignment(GByteArray *out, guint32 number, const char *assignment)
{
    const char *sign = strchr(assignment, '=');
    g_assert(sign != NULL);
    put_pair(out, number, assignment, (size_t)(sign - assignment), sign + 1);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* output_paths are relative to the working directory; an output that is none of them: NULL. */
static char *output_below(const struct action *action, const char *output)
{
    g_autofree char *path = action_output_path(output);
    size_t length = strlen(action->directory);
    if (path == NULL || length == 0)
        return g_steal_pointer(&path);
    bool below = strncmp(path, action->directory, length) == 0 && path[length] == '/';
    return below ? g_strdup(path + length + 1) : NULL;
}

static void put_platform(const struct action *action, GByteArray *command)
{
    g_autoptr(GPtrArray) properties = g_ptr_array_new_with_free_func(g_free);
    for (char **property = action->platform; *property != NULL; property++)
        g_ptr_array_add(properties, g_strdup(*property));
    char text[DIGEST_TEXT_SIZE];
    if (action->stdin_blob.size != 0)
        g_ptr_array_add(properties,
                        g_strconcat("stdin=", digest_print(&action->stdin_blob, text), NULL));
    if (action->network)
        g_ptr_array_add(properties, g_strdup("network=host"));
    if (action->outputs == NULL)
        g_ptr_array_add(properties, g_strdup("outputs=changed"));
    for (char **output = action->outputs; output != NULL && *output != NULL; output++) {
        g_autofree char *path = output_below(action, *output);
        if (path == NULL)
            g_ptr_array_add(properties, g_strconcat("output-glob=", *output, NULL));
    }
    g_ptr_array_sort(properties, action_compare_assignments);
    g_autoptr(GByteArray) platform = g_byte_array_new();
    for (guint i = 0; i < properties->len; i++)
        if (i == 0 || strcmp(properties->pdata[i], properties->pdata[i - 1]) != 0)
            put_assignment(platform, 1, properties->pdata[i]);
    wire_put_message(command, 5, platform);
}

static void put_output_paths(const struct action *action, GByteArray *command)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (char **output = action->outputs; output != NULL && *output != NULL; output++) {
        char *path = output_below(action, *output);
        if (path != NULL)
            g_ptr_array_add(paths, path);
    }
    g_ptr_array_sort(paths, compare_texts); /* patterns are sorted, but escapes change the order */
    for (guint i = 0; i < paths->len; i++)
        if (i == 0 || strcmp(paths->pdata[i], paths->pdata[i - 1]) != 0)
            wire_put_string(command, 7, paths->pdata[i]);
}

static GByteArray *encode_command(const struct action *action)
{
    GByteArray *command = g_byte_array_new();
    for (char **argument = action->argv; *argument != NULL; argument++)
        wire_put_bytes(command, 1, *argument, strlen(*argument));
    for (char **variable = action->environment; *variable != NULL; variable++)
        put_assignment(command, 2, *variable);
    put_platform(action, command);
    wire_put_string(command, 6, action->directory);
    put_output_paths(action, command);
    return command;
}

static void put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

static GByteArray *encode_action(const struct action *action, const GByteArray *command,
                                 bool with_inputs)
{
    struct digest command_digest;
    digest_of(command->data, command->len, &command_digest);
    GByteArray *out = g_byte_array_new();
    put_digest(out, 1, &command_digest);
    if (with_inputs)
        put_digest(out, 2, tree_digest(action->inputs));
    if (action->timeout > 0) {
        g_autoptr(GByteArray) duration = g_byte_array_new();
        wire_put_varint(duration, 1, (guint64)(action->timeout / G_USEC_PER_SEC));
        wire_put_varint(duration, 2, (guint64)(action->timeout % G_USEC_PER_SEC * 1000));
        wire_put_message(out, 6, duration);
    }
    return out;
}

static void digest_with(const struct action *action, bool with_inputs, struct digest *out)
{
    g_autoptr(GByteArray) command = encode_command(action);
    g_autoptr(GByteArray) message = encode_action(action, command, with_inputs);
    digest_of(message->data, message->len, out);
}

void action_digest(const struct action *action, struct digest *out)
{
    digest_with(action, true, out);
}

void action_weak_digest(const struct action *action, struct digest *out)
{
    digest_with(action, false, out);
}

bool action_store(const struct action *action, struct store_batch *batch, struct digest *out,
                  GError **error)
{
    g_autoptr(GByteArray) command = encode_command(action);
    g_autoptr(GByteArray) message = encode_action(action, command, true);
    struct digest ignored;
    return store_batch_put(batch, command->data, command->len, &ignored, error) &&
           store_batch_put_tree(batch, action->inputs, error) &&
           store_batch_put(batch, message->data, message->len, out, error);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Arguments and variables are bytes: unlike names in trees they need not be UTF-8. */
static char *field_bytes(const struct wire_field *field)
{
    if (field->type != WIRE_BYTES || memchr(field->data, '\0', field->size) != NULL)
        return NULL;
    return g_strndup((const char *)field->data, field->size);
}

/* "name=value" of an EnvironmentVariable or Property message; NULL if malformed. */
static char *decode_assignment(const struct wire_field *outer)
{
    if (outer->type != WIRE_BYTES)
        return NULL;
    g_autofree char *name = g_strdup(""), *value = g_strdup("");
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        char **target = field.number == 1 ? &name : field.number == 2 ? &value : NULL;
        char *text = target == NULL ? NULL : field_bytes(&field);
        if (text == NULL)
            return NULL;
        g_free(*target);
        *target = text;
    }
    if (reader.failed || strchr(name, '=') != NULL)
        return NULL;
    return g_strconcat(name, "=", value, NULL);
}

struct lists {
    GPtrArray *argv, *environment, *platform, *outputs;
    GPtrArray *paths; /* outputs relative to the working directory */
    bool changed;     /* outputs are whatever changes */
};

static bool take_property(struct action *action, struct lists *lists, const char *property)
{
    if (g_str_has_prefix(property, "stdin="))
        return digest_parse(property + strlen("stdin="), &action->stdin_blob, NULL);
    if (strcmp(property, "network=host") == 0)
        action->network = true;
    else if (strcmp(property, "outputs=changed") == 0)
        lists->changed = true;
    else if (g_str_has_prefix(property, "output-glob="))
        g_ptr_array_add(lists->outputs, g_strdup(property + strlen("output-glob=")));
    else
        g_ptr_array_add(lists->platform, g_strdup(property));
    return true;
}

static bool take_platform(struct action *action, struct lists *lists,
                          const struct wire_field *outer)
{
    if (outer->type != WIRE_BYTES)
        return false;
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        g_autofree char *property = field.number == 1 ? decode_assignment(&field) : NULL;
        if (property == NULL || !take_property(action, lists, property))
            return false;
    }
    return !reader.failed;
}

static bool take_text(GPtrArray *list, char *text)
{
    if (text != NULL)
        g_ptr_array_add(list, text);
    return text != NULL;
}

static bool take_command_field(struct action *action, struct lists *lists,
                               const struct wire_field *field)
{
    switch (field->number) {
    case 1:
        return take_text(lists->argv, field_bytes(field));
    case 2:
        return take_text(lists->environment, decode_assignment(field));
    case 5:
        return take_platform(action, lists, field);
    case 6:
        g_free(action->directory);
        action->directory = wire_field_string(field);
        return action->directory != NULL && path_is_relative(action->directory);
    case 7:
        return take_text(lists->paths, wire_field_string(field)) &&
               path_is_relative(lists->paths->pdata[lists->paths->len - 1]);
    default:
        return false;
    }
}

static void add_paths(struct lists *lists, const char *directory)
{
    for (guint i = 0; i < lists->paths->len; i++) {
        g_autofree char *path = path_join(directory, lists->paths->pdata[i]);
        g_ptr_array_add(lists->outputs, action_output_pattern(path));
    }
    g_ptr_array_sort(lists->outputs, compare_texts);
}

static char **finish_list(GPtrArray **list)
{
    g_ptr_array_add(*list, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(list), FALSE);
}

static bool decode_command(struct action *action, GBytes *bytes)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) environment = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) platform = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) outputs = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    struct lists lists = { argv, environment, platform, outputs, paths, false };
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (wire_next(&reader, &field))
        if (!take_command_field(action, &lists, &field))
            return false;
    add_paths(&lists, action->directory);
    if (reader.failed || argv->len == 0 || (lists.changed && outputs->len > 0))
        return false;
    g_strfreev(action->argv);
    g_strfreev(action->environment);
    g_strfreev(action->platform);
    action->argv = finish_list(&argv);
    action->environment = finish_list(&environment);
    action->platform = finish_list(&platform);
    action->outputs = lists.changed ? NULL : finish_list(&outputs);
    return true;
}

static bool decode_timeout(const struct wire_field *outer, gint64 *out)
{
    if (outer->type != WIRE_BYTES)
        return false;
    struct wire_reader reader;
    struct wire_field field;
    guint64 seconds = 0, nanoseconds = 0;
    wire_reader_init(&reader, outer->data, outer->size);
    while (wire_next(&reader, &field)) {
        if (field.type != WIRE_VARINT || (field.number != 1 && field.number != 2))
            return false;
        *(field.number == 1 ? &seconds : &nanoseconds) = field.value;
    }
    if (reader.failed || seconds > G_MAXINT64 / G_USEC_PER_SEC / 2 || nanoseconds > 999999999)
        return false;
    *out = (gint64)seconds * G_USEC_PER_SEC + (gint64)nanoseconds / 1000;
    return true;
}

static bool decode_action(GBytes *bytes, struct digest *command, struct digest *inputs,
                          gint64 *timeout)
{
    struct wire_reader reader;
    struct wire_field field;
    bool seen_command = false, seen_inputs = false;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (wire_next(&reader, &field)) {
        if (field.type != WIRE_BYTES)
            return false;
        if (field.number == 1)
            seen_command = digest_decode(field.data, field.size, command);
        else if (field.number == 2)
            seen_inputs = digest_decode(field.data, field.size, inputs);
        else if (field.number != 6 || !decode_timeout(&field, timeout))
            return false;
    }
    return !reader.failed && seen_command && seen_inputs;
}

bool action_references(GBytes *message, struct digest *command, struct digest *inputs)
{
    gint64 timeout;
    return decode_action(message, command, inputs, &timeout);
}

struct action *action_load(struct store *store, const struct digest *digest, GError **error)
{
    g_autoptr(action) action = action_new();
    g_autoptr(GBytes) message = store_get(store, digest, error);
    if (message == NULL)
        return NULL;
    struct digest command_digest, input_digest;
    char text[DIGEST_TEXT_SIZE];
    if (!decode_action(message, &command_digest, &input_digest, &action->timeout)) {
        fault_set(error, FAULT_CORRUPT, "%s is not an action", digest_print(digest, text));
        return NULL;
    }
    g_autoptr(GBytes) command = store_get(store, &command_digest, error);
    if (command == NULL)
        return NULL;
    if (!decode_command(action, command)) {
        fault_set(error, FAULT_CORRUPT, "%s is not a command", digest_print(&command_digest, text));
        return NULL;
    }
    tree_unref(action->inputs);
    action->inputs = store_get_tree(store, &input_digest, error);
    return action->inputs == NULL ? NULL : g_steal_pointer(&action);
}
