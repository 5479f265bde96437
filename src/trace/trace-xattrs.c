// SPDX-License-Identifier: Apache-2.0
/* Extended attributes of host files, and what stands for them in a trace. */
#include "trace/trace-internal.h"

#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

GHashTable *trace_xattrs_read(int file)
{
    GHashTable *out =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    char path[40]; /* the calls on descriptors refuse O_PATH */
    g_snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    ssize_t size = listxattr(path, NULL, 0);
    if (size <= 0)
        return out;
    g_autofree char *names = g_malloc0(XATTR_LIST_MAX + 1), *value = g_malloc(XATTR_SIZE_MAX);
    size = listxattr(path, names, XATTR_LIST_MAX);
    for (const char *name = names; name < names + MAX(size, 0); name += strlen(name) + 1) {
        ssize_t length = strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0
                             ? getxattr(path, name, value, XATTR_SIZE_MAX)
                             : -1;
        if (length >= 0)
            g_hash_table_insert(out, g_strdup(name), g_bytes_new(value, (gsize)length));
    }
    return out;
}

char *trace_xattrs_hash(GHashTable *attributes)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(attributes), (GCompareFunc)strcmp);
    g_autoptr(GByteArray) all = g_byte_array_new(), one = g_byte_array_new();
    for (const GList *at = names; at != NULL; at = at->next) {
        GBytes *value = g_hash_table_lookup(attributes, at->data);
        g_byte_array_set_size(one, 0);
        wire_put_string(one, 1, at->data);
        wire_put_bytes(one, 2, g_bytes_get_data(value, NULL), g_bytes_get_size(value));
        wire_put_message(all, 1, one);
    }
    if (names == NULL)
        return NULL;
    struct digest digest;
    char text[DIGEST_HASH_SIZE * 2 + 1];
    digest_of(all->data, all->len, &digest);
    return g_strdup(digest_print_hash(&digest, text));
}
