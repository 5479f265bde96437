// SPDX-License-Identifier: Apache-2.0
/* SHA-256 digests: making, comparing, printing and parsing them, and their protobuf message. */
#include "tree/digest.h"

#include "base/fault.h"
#include "base/path.h"
#include "base/wire.h"

#include <string.h>

enum digest_field {
    DIGEST_HASH = 1,
    DIGEST_SIZE = 2,
};

void digest_init(struct digest_context *context)
{
    sha256_init(&context->sha);
    context->size = 0;
}

void digest_update(struct digest_context *context, const void *data, size_t size)
{
    if (size > 0)
        sha256_update(&context->sha, size, data);
    context->size += (gint64)size;
}

void digest_finish(struct digest_context *context, struct digest *out)
{
    sha256_digest(&context->sha, sizeof out->hash, out->hash);
    out->size = context->size;
}

void digest_of(const void *data, size_t size, struct digest *out)
{
    struct digest_context context;
    digest_init(&context);
    digest_update(&context, data, size);
    digest_finish(&context, out);
}

void digest_of_bytes(GBytes *bytes, struct digest *out)
{
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    digest_of(data, size, out);
}

const struct digest *digest_empty(void)
{
    static const struct digest empty = {
        .hash = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                  0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                  0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55 },
    };
    return &empty;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
    int order = memcmp(a->hash, b->hash, sizeof a->hash);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return digest_compare(a, b) == 0;
}

guint digest_hash(gconstpointer digest)
{
    guint value;
    memcpy(&value, ((const struct digest *)digest)->hash, sizeof value);
    return value;
}

gboolean digest_hash_equal(gconstpointer a, gconstpointer b)
{
    return digest_equal(a, b);
}

char *digest_print_hash(const struct digest *digest, char text[DIGEST_HASH_SIZE * 2 + 1])
{
    for (size_t i = 0; i < DIGEST_HASH_SIZE; i++) {
        text[2 * i] = "0123456789abcdef"[digest->hash[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest->hash[i] & 15];
    }
    text[DIGEST_HASH_SIZE * 2] = '\0';
    return text;
}

char *digest_print(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    digest_print_hash(digest, text);
    g_snprintf(text + DIGEST_HASH_SIZE * 2, DIGEST_TEXT_SIZE - DIGEST_HASH_SIZE * 2,
               "/%" G_GINT64_FORMAT, digest->size);
    return text;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Looks at no byte behind one that is no digit, so a short text is never overrun. */
static bool parse_hash(const char *text, guint8 hash[DIGEST_HASH_SIZE])
{
    for (size_t i = 0; i < DIGEST_HASH_SIZE; i++) {
        int high = hex_value(text[2 * i]);
        int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
        if (low < 0)
            return false;
        hash[i] = (guint8)(high << 4 | low);
    }
    return true;
}

static bool parse_size(const char *text, gint64 *out)
{
    guint64 value;
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL))
        return false;
    *out = (gint64)value;
    return text[0] != '0' || text[1] == '\0';
}

bool digest_parse(const char *text, struct digest *out, GError **error)
{
    struct digest parsed = { 0 };
    if (parse_hash(text, parsed.hash) && text[DIGEST_HASH_SIZE * 2] == '/' &&
        parse_size(text + DIGEST_HASH_SIZE * 2 + 1, &parsed.size)) {
        *out = parsed;
        return true;
    }
    g_autofree char *quoted = path_quote(text);
    return fault_set(error, FAULT_USAGE,
                     "%s is not a digest: 64 lower-case hex digits, a slash, a size in bytes",
                     quoted);
}

void digest_encode(const struct digest *digest, GByteArray *out)
{
    char hash[DIGEST_HASH_SIZE * 2 + 1];
    wire_put_string(out, DIGEST_HASH, digest_print_hash(digest, hash));
    wire_put_varint(out, DIGEST_SIZE, (guint64)digest->size);
}

static bool decode_hash(const struct wire_field *field, guint8 hash[DIGEST_HASH_SIZE])
{
    char text[DIGEST_HASH_SIZE * 2 + 1] = { 0 };
    if (field->type != WIRE_BYTES || field->size != sizeof text - 1)
        return false;
    memcpy(text, field->data, field->size);
    return parse_hash(text, hash);
}

static bool decode_size(const struct wire_field *field, gint64 *out)
{
    *out = (gint64)field->value;
    return field->type == WIRE_VARINT && *out > 0;
}

/* Strict: exactly what digest_encode() writes, so that equal digests have equal bytes. */
bool digest_decode(const void *data, size_t size, struct digest *out)
{
    struct digest decoded = { 0 };
    struct wire_reader reader;
    struct wire_field field;
    wire_reader_init(&reader, data, size);
    if (!wire_next(&reader, &field) || field.number != DIGEST_HASH ||
        !decode_hash(&field, decoded.hash))
        return false;
    if (wire_next(&reader, &field) &&
        (field.number != DIGEST_SIZE || !decode_size(&field, &decoded.size)))
        return false;
    if (reader.failed || reader.at != reader.end)
        return false;
    *out = decoded;
    return true;
}
