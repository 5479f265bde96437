// SPDX-License-Identifier: Apache-2.0
/*
 * Trees as Remote Execution API `Directory` messages: doc/format/directory.md.
 *
 * Decoding reads what it knows, makes the tree and writes that again: bytes that differ were not
 * canonical. So the one encoder defines the format, and a tree has the digest of the bytes it
 * came from by construction.
 */
#include "tree/tree-internal.h"

#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"

#include <string.h>

enum directory_field {
    DIRECTORY_FILES = 1,
    DIRECTORY_DIRECTORIES = 2,
    DIRECTORY_SYMLINKS = 3,
};

enum node_field { /* FileNode, DirectoryNode and SymlinkNode */
    NODE_NAME = 1,
    NODE_DIGEST = 2,
    NODE_TARGET = 2,
    NODE_EXECUTABLE = 4,
};

static const guint32 field_of_kind[] = {
    [TREE_FILE] = DIRECTORY_FILES,
    [TREE_DIRECTORY] = DIRECTORY_DIRECTORIES,
    [TREE_SYMLINK] = DIRECTORY_SYMLINKS,
};

static void encode_kind(const struct tree_entry *entries, size_t count, enum tree_kind kind,
                        GByteArray *out)
{
    g_autoptr(GByteArray) node = g_byte_array_new();
    g_autoptr(GByteArray) digest = g_byte_array_new();
    for (const struct tree_entry *entry = entries; entry < entries + count; entry++) {
        if (entry->kind != kind)
            continue;
        g_byte_array_set_size(node, 0);
        wire_put_string(node, NODE_NAME, entry->name);
        if (kind == TREE_SYMLINK) {
            wire_put_string(node, NODE_TARGET, entry->target);
        } else {
            g_byte_array_set_size(digest, 0);
            digest_encode(&entry->digest, digest);
            wire_put_message(node, NODE_DIGEST, digest);
            wire_put_varint(node, NODE_EXECUTABLE, entry->executable);
        }
        wire_put_message(out, field_of_kind[kind], node);
    }
}

void tree_encode_entries(const struct tree_entry *entries, size_t count, GByteArray *out)
{
    encode_kind(entries, count, TREE_FILE, out);
    encode_kind(entries, count, TREE_DIRECTORY, out);
    encode_kind(entries, count, TREE_SYMLINK, out);
}

GBytes *tree_encode(const struct tree *tree)
{
    GByteArray *message = g_byte_array_sized_new((guint)tree->digest.size);
    tree_encode_entries(tree->entries, tree->count, message);
    return g_byte_array_free_to_bytes(message);
}

/* One message being decoded: its entries, and room for their names with a NUL after each. */
struct decoder {
    GArray *entries;
    char *text, *free_text;
};

static bool read_text(struct decoder *decoder, const struct wire_field *field, const char **out)
{
    if (field->type != WIRE_BYTES ||
        !g_utf8_validate((const char *)field->data, (gssize)field->size, NULL))
        return false;
    *out = decoder->free_text;
    memcpy(decoder->free_text, field->data, field->size);
    decoder->free_text[field->size] = '\0';
    decoder->free_text += field->size + 1;
    return true;
}

static bool read_node_field(struct decoder *decoder, const struct wire_field *field,
                            struct tree_entry *entry)
{
    if (field->number == NODE_NAME)
        return read_text(decoder, field, &entry->name);
    if (field->number == NODE_TARGET && entry->kind == TREE_SYMLINK)
        return read_text(decoder, field, &entry->target);
    if (field->number == NODE_DIGEST && field->type == WIRE_BYTES)
        return digest_decode(field->data, field->size, &entry->digest);
    entry->executable = true;
    return field->number == NODE_EXECUTABLE && field->type == WIRE_VARINT && field->value == 1;
}

static bool read_node(struct decoder *decoder, const struct wire_field *node)
{
    if (node->type != WIRE_BYTES || node->number < DIRECTORY_FILES ||
        node->number > DIRECTORY_SYMLINKS)
        return false;
    struct tree_entry entry = {
        .name = "",
        .kind = node->number == DIRECTORY_FILES         ? TREE_FILE
                : node->number == DIRECTORY_DIRECTORIES ? TREE_DIRECTORY
                                                        : TREE_SYMLINK,
        .digest = { .size = -1 },
    };
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, node->data, node->size);
    while (wire_next(&reader, &field))
        if (!read_node_field(decoder, &field, &entry))
            return false;
    bool complete = entry.kind == TREE_SYMLINK ? entry.target != NULL : entry.digest.size >= 0;
    if (reader.failed || !complete)
        return false;
    tree_entries_take(decoder->entries, entry);
    return true;
}

/* A field of n bytes takes n + 2 at least, so `size` bytes of room hold all text and its NULs. */
static bool decode(struct decoder *decoder, const void *data, size_t size)
{
    struct wire_reader reader;
    struct wire_field field;
    decoder->entries = tree_entries_new(size / 80);
    decoder->text = decoder->free_text = g_malloc(size);
    wire_reader_init(&reader, data, size);
    while (wire_next(&reader, &field))
        if (!read_node(decoder, &field))
            return false;
    return !reader.failed;
}

static void decoder_clear(struct decoder *decoder)
{
    g_array_unref(decoder->entries);
    g_free(decoder->text);
}

struct load {
    tree_fetch fetch;
    void *user;
    GHashTable *loaded; /* digest -> tree, owned */
    GString *path;
    guint depth;
};

static bool is_corrupt(const struct load *load, const struct digest *digest, const char *why,
                       GError **error)
{
    char text[DIGEST_TEXT_SIZE];
    g_autofree char *path = path_quote(load->path->len == 0 ? "." : load->path->str);
    return fault_set(error, FAULT_CORRUPT, "the directory %s at %s of a tree is damaged: %s",
                     digest_print(digest, text), path, why);
}

static struct tree *load_directory(struct load *load, const struct digest *digest, GError **error);

static bool load_children(struct load *load, GArray *entries, GError **error)
{
    for (guint i = 0; i < entries->len; i++) {
        struct tree_entry *entry = &g_array_index(entries, struct tree_entry, i);
        if (entry->kind != TREE_DIRECTORY)
            continue;
        size_t length = tree_path_push(load->path, entry->name);
        entry->directory = load_directory(load, &entry->digest, error);
        tree_path_pop(load->path, length);
        if (entry->directory == NULL)
            return false;
    }
    return true;
}

/* The tree that `bytes` are the message of. */
static struct tree *load_message(struct load *load, const struct digest *digest, GBytes *bytes,
                                 GError **error)
{
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    __attribute__((cleanup(decoder_clear))) struct decoder decoder = { 0 };
    if (!decode(&decoder, data, size)) {
        is_corrupt(load, digest, "it is no Directory message", error);
        return NULL;
    }
    if (!load_children(load, decoder.entries, error))
        return NULL;
    g_autoptr(GByteArray) again = g_byte_array_sized_new((guint)size);
    g_autoptr(GError) bad = NULL;
    g_autoptr(tree) made =
        tree_make((struct tree_entry *)decoder.entries->data, decoder.entries->len, again, &bad);
    bool canonical =
        made != NULL && again->len == size && (size == 0 || memcmp(again->data, data, size) == 0);
    if (!canonical) {
        is_corrupt(load, digest, made == NULL ? bad->message : "its message is not canonical",
                   error);
        return NULL;
    }
    made->digest = *digest;
    return g_steal_pointer(&made);
}

static struct tree *load_directory(struct load *load, const struct digest *digest, GError **error)
{
    struct tree *known = g_hash_table_lookup(load->loaded, digest);
    if (known != NULL)
        return tree_ref(known);
    if (load->depth == TREE_DEPTH_LIMIT) {
        is_corrupt(load, digest, "directories nest too deep", error);
        return NULL;
    }
    g_autoptr(GBytes) bytes = load->fetch(digest, load->user, error);
    if (bytes == NULL)
        return NULL;
    struct digest found;
    digest_of_bytes(bytes, &found);
    if (!digest_equal(&found, digest)) {
        is_corrupt(load, digest, "its bytes have another digest", error);
        return NULL;
    }
    load->depth++;
    struct tree *made = load_message(load, digest, bytes, error);
    load->depth--;
    if (made != NULL)
        g_hash_table_insert(load->loaded, &made->digest, tree_ref(made));
    return made;
}

static void release_tree(void *tree)
{
    tree_unref(tree);
}

struct tree *tree_load(const struct digest *root, tree_fetch fetch, void *user, GError **error)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GHashTable) loaded =
        g_hash_table_new_full(digest_hash, digest_hash_equal, NULL, release_tree);
    struct load load = { .fetch = fetch, .user = user, .loaded = loaded, .path = path };
    return load_directory(&load, root, error);
}
