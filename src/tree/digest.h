// SPDX-License-Identifier: Apache-2.0
/*
 * SHA-256 digests, printed "hash/size" with 64 lower-case hex digits, as the Remote Execution API
 * tools do. The size is part of a digest: two digests are equal if both agree.
 */
#ifndef TREE_DIGEST_H
#define TREE_DIGEST_H

#include <glib.h>
#include <nettle/sha2.h>
#include <stdbool.h>

#define DIGEST_HASH_SIZE 32
#define DIGEST_TEXT_SIZE 88 /* hash, slash, size of up to 20 digits, NUL, rounded */

struct digest {
    guint8 hash[DIGEST_HASH_SIZE];
    gint64 size; /* bytes, never negative */
};

/* A digest under construction; nothing to release. */
struct digest_context {
    struct sha256_ctx sha;
    gint64 size;
};

void digest_init(struct digest_context *context);
void digest_update(struct digest_context *context, const void *data, size_t size);
void digest_finish(struct digest_context *context, struct digest *out);

void digest_of(const void *data, size_t size, struct digest *out);
void digest_of_bytes(GBytes *bytes, struct digest *out);

/* The digest of zero bytes, which is also the empty tree's. */
const struct digest *digest_empty(void);

bool digest_equal(const struct digest *a, const struct digest *b);
int digest_compare(const struct digest *a, const struct digest *b);
guint digest_hash(gconstpointer digest);                      /* for GHashTable */
gboolean digest_hash_equal(gconstpointer a, gconstpointer b); /* for GHashTable */

/* "hash/size" into `text`; returns `text`. */
char *digest_print(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);

/* The 64 hex digits alone, NUL-terminated. */
char *digest_print_hash(const struct digest *digest, char text[DIGEST_HASH_SIZE * 2 + 1]);

/* Exactly "64 lower-case hex digits / decimal size without leading zeros"; else FAULT_USAGE. */
bool digest_parse(const char *text, struct digest *out, GError **error);

/* Remote Execution API `Digest { string hash = 1; int64 size_bytes = 2; }`. */
void digest_encode(const struct digest *digest, GByteArray *out);
bool digest_decode(const void *data, size_t size, struct digest *out); /* false: malformed */

#endif
