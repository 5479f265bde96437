// SPDX-License-Identifier: Apache-2.0
/* Encoding of history entries and the walk over them. */
#include "cache/history.h"

#include "base/fault.h"
#include "base/wire.h"

#include <string.h>

void history_entry_free(struct history_entry *entry)
{
    if (entry == NULL)
        return;
    g_free(entry->workspace);
    g_strfreev(entry->argv);
    g_free(entry->reason);
    g_free(entry->miss);
    g_free(entry);
}

static void put_digest(GByteArray *out, guint32 number, const struct digest *digest)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    digest_encode(digest, message);
    wire_put_message(out, number, message);
}

GBytes *history_encode(const struct history_entry *entry)
{
    GByteArray *out = g_byte_array_new();
    wire_put_varint(out, 1, (guint64)entry->time);
    if (entry->workspace != NULL)
        wire_put_bytes(out, 2, entry->workspace, strlen(entry->workspace));
    for (char **argument = entry->argv; *argument != NULL; argument++)
        wire_put_bytes(out, 3, *argument, strlen(*argument));
    put_digest(out, 4, &entry->key);
    put_digest(out, 5, &entry->weak);
    wire_put_varint(out, 6, entry->hit);
    wire_put_varint(out, 7, entry->stored);
    wire_put_varint(out, 8, (guint64)entry->exit_code);
    wire_put_varint(out, 9, (guint64)entry->duration);
    wire_put_varint(out, 10, (guint64)entry->work);
    wire_put_string(out, 11, entry->reason);
    if (entry->kept.size > 0)
        put_digest(out, 12, &entry->kept);
    wire_put_string(out, 13, entry->miss);
    return g_byte_array_free_to_bytes(out);
}

static char *take_bytes(const struct wire_field *field)
{
    if (field->type != WIRE_BYTES || memchr(field->data, '\0', field->size) != NULL)
        return NULL;
    return g_strndup((const char *)field->data, field->size);
}

static bool take_field(struct history_entry *entry, GPtrArray *argv, const struct wire_field *field)
{
    char *text;
    switch (field->number) {
    case 2:
        g_free(entry->workspace);
        return (entry->workspace = take_bytes(field)) != NULL;
    case 3:
        if ((text = take_bytes(field)) != NULL)
            g_ptr_array_add(argv, text);
        return text != NULL;
    case 4:
        return field->type == WIRE_BYTES && digest_decode(field->data, field->size, &entry->key);
    case 5:
        return field->type == WIRE_BYTES && digest_decode(field->data, field->size, &entry->weak);
    case 12:
        return field->type == WIRE_BYTES && digest_decode(field->data, field->size, &entry->kept);
    case 11:
        g_free(entry->reason);
        return (entry->reason = take_bytes(field)) != NULL;
    case 13:
        g_free(entry->miss);
        return (entry->miss = take_bytes(field)) != NULL;
    default:
        break;
    }
    if (field->type != WIRE_VARINT || field->value > G_MAXINT64)
        return false;
    gint64 value = (gint64)field->value;
    switch (field->number) {
    case 1:
        entry->time = value;
        return true;
    case 6:
        entry->hit = value != 0;
        return true;
    case 7:
        entry->stored = value != 0;
        return true;
    case 8:
        entry->exit_code = (int)(value & 255);
        return value <= 255;
    case 9:
        entry->duration = value;
        return true;
    case 10:
        entry->work = value;
        return true;
    default:
        return false;
    }
}

struct history_entry *history_decode(GBytes *bytes, GError **error)
{
    g_autoptr(history_entry) entry = g_new0(struct history_entry, 1);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    struct wire_reader reader;
    struct wire_field field;
    bool ok = true;
    wire_reader_init(&reader, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    while (ok && wire_next(&reader, &field))
        ok = take_field(entry, argv, &field);
    if (!ok || reader.failed || argv->len == 0) {
        fault_set(error, FAULT_CORRUPT, "an entry of the history is malformed");
        return NULL;
    }
    g_ptr_array_add(argv, NULL);
    entry->argv = (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
    return g_steal_pointer(&entry);
}

bool history_append(struct store *store, const struct history_entry *entry, GError **error)
{
    g_autoptr(GBytes) bytes = history_encode(entry);
    return store_log_append(store, bytes, error);
}

struct walk {
    history_visit visit;
    void *user;
};

static bool visit_bytes(GBytes *bytes, void *user)
{
    struct walk *walk = user;
    g_autoptr(history_entry) entry = history_decode(bytes, NULL);
    return entry == NULL || walk->visit(entry, walk->user);
}

void history_each(struct store *store, history_visit visit, void *user)
{
    struct walk walk = { visit, user };
    store_log_each(store, visit_bytes, &walk);
}

struct numbered {
    const char *workspace;
    guint number, at;
    struct history_entry *found;
};

static bool visit_numbered(const struct history_entry *entry, void *user)
{
    struct numbered *search = user;
    if (g_strcmp0(entry->workspace, search->workspace) != 0 || search->at++ != search->number)
        return true;
    g_autoptr(GBytes) bytes = history_encode(entry);
    search->found = history_decode(bytes, NULL);
    return false;
}

struct history_entry *history_find(struct store *store, const char *workspace, guint number,
                                   GError **error)
{
    struct numbered search = { .workspace = workspace, .number = number };
    history_each(store, visit_numbered, &search);
    if (search.found == NULL)
        fault_set(error, FAULT_USAGE, "there is no run @%u of %s (it has %u)", number, workspace,
                  search.at);
    return search.found;
}
