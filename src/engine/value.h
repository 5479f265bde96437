// SPDX-License-Identifier: Apache-2.0
/*
 * What rules are given and give back: immutable values, equal if their content is.
 *
 * A value is nil, a boolean, an integer of 64 bits, a string of bytes, a list, or a record: a type
 * name and named fields in the order of their declaration. The canonical encoding
 * (doc/format/value.md) is what a value's digest is taken of, and what the store keeps. It carries
 * the names of a record's fields, so whoever reads it needs no declarations.
 *
 * Invariants
 *  1. A value never changes. References are counted atomically, so threads may share values.
 *  2. Equal values have equal encodings, and only those do. There is one encoding of a value; bytes
 *     that decode encode to the same bytes.
 *  3. A value is at most VALUE_DEPTH_LIMIT deep, so whoever walks one may recurse. A deeper one is
 *     an error where it would be made, FAULT_UNSUPPORTED.
 *
 * Life cycle: constructors return a new reference, value_unref() drops it. What accessors return is
 * borrowed from the value.
 */
#ifndef ENGINE_VALUE_H
#define ENGINE_VALUE_H

#include "tree/digest.h"

#define VALUE_DEPTH_LIMIT 200

enum value_kind { /* numbers are part of the format */
    VALUE_NIL = 0,
    VALUE_BOOLEAN = 1,
    VALUE_INTEGER = 2,
    VALUE_STRING = 3,
    VALUE_LIST = 4,
    VALUE_RECORD = 5,
};

struct value;
typedef struct value value;

/* --- types of records ------------------------------------------------------------------------- */

/*
 * A name and the names of the fields. Two of equal content are the same type, but making records
 * from one of them makes them cheaper to compare.
 */
struct value_type;
typedef struct value_type value_type;

/*
 * `fields` ends with NULL; NULL is none. Names are UTF-8 and not empty, those of fields differ: all
 * else is FAULT_USAGE.
 */
struct value_type *value_type_new(const char *name, const char *const *fields, GError **error);
struct value_type *value_type_ref(struct value_type *type);
void value_type_unref(struct value_type *type);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(value_type, value_type_unref)

const char *value_type_name(const struct value_type *type);
gsize value_type_count(const struct value_type *type);
const char *value_type_field(const struct value_type *type, gsize index);
gssize value_type_find(const struct value_type *type, const char *field); /* -1: none */

/* --- making values ---------------------------------------------------------------------------- */

struct value *value_ref(struct value *value);
void value_unref(struct value *value);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(value, value_unref)

struct value *value_nil(void);
struct value *value_boolean(bool truth);
struct value *value_integer(gint64 number);
struct value *value_string(const void *data, gsize size); /* copies */
struct value *value_text(const char *text);

/* Items and fields are referenced, so the array stays the caller's. NULL is nil. */
struct value *value_list(struct value *const *items, gsize count, GError **error);
/* As many fields as the type has, in its order. */
struct value *value_record(struct value_type *type, struct value *const *fields, GError **error);

/* --- asking ----------------------------------------------------------------------------------- */

enum value_kind value_kind(const struct value *value);
const char *value_kind_name(enum value_kind kind); /* "nil", "boolean", … */

/* Of the wrong kind: false, 0, NULL. */
bool value_truth(const struct value *value);
gint64 value_number(const struct value *value);
const char *value_bytes(const struct value *value, gsize *size); /* a NUL follows; size or NULL */
gsize value_count(const struct value *value);                    /* items of a list, or fields */
struct value *value_at(const struct value *value, gsize index);
struct value *value_field(const struct value *value,
                          const char *field); /* NULL: none of this name */
struct value_type *value_type_of(const struct value *value);
const char *value_record_name(const struct value *value); /* the type's name */

bool value_equal(const struct value *a, const struct value *b);
guint value_hash(gconstpointer value);                       /* for GHashTable */
gboolean value_hash_equal(gconstpointer a, gconstpointer b); /* for GHashTable */

/* --- bytes ------------------------------------------------------------------------------------ */

GBytes *value_encode(const struct value *value);
void value_encode_to(const struct value *value, GByteArray *out); /* appends */
struct value *value_decode(GBytes *bytes, GError **error);        /* FAULT_CORRUPT */
struct value *value_decode_data(const void *data, gsize size, GError **error);

/* Of the encoding; found out once. */
const struct digest *value_digest(const struct value *value);

/*
 * As one would write it in Lua: Name{value="x", list={1, 2}}. Bytes that do not print are escaped
 * ("\n", "\xff"). At most about `limit` bytes, of which the last is "…" if something was left out;
 * 0: all. Caller frees.
 */
char *value_print(const struct value *value, gsize limit);

#endif
