// SPDX-License-Identifier: Apache-2.0
/* A whole tree as text, one line for each name in sorted order. */
#include "oracle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct dump {
    const char *root;
    GHashTable *groups; /* "dev:ino" -> number of the line where it was first seen */
    guint lines;
};

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* NULL and errno if it cannot be read. */
static GPtrArray *names_in(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        int number = errno;
        if (copy >= 0)
            close(copy);
        errno = number;
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        if (!g_str_equal(entry->d_name, ".") && !g_str_equal(entry->d_name, ".."))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    closedir(stream);
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void print_attributes(int directory, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d/%s", directory, name);
    char list[4096], value[4096];
    ssize_t size = llistxattr(path, list, sizeof list);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (char *at = list; size > 0 && at < list + size; at += strlen(at) + 1) {
        if (g_str_has_prefix(at, "user."))
            g_ptr_array_add(names, at);
    }
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *text = escape(names->pdata[i]);
        ssize_t length = lgetxattr(path, names->pdata[i], value, sizeof value);
        printf(" %s=%zd:%08x", text, length,
               (unsigned)digest_bytes(DIGEST_START, value, (size_t)MAX(length, 0)));
    }
}

static void print_target(const struct dump *dump, int directory, const char *name)
{
    char target[PATH_MAX + 1] = { 0 };
    ssize_t length = readlinkat(directory, name, target, PATH_MAX);
    g_autofree char *text = escape_path(dump->root, target);
    printf(" size %zd target %s", length, length < 0 ? errno_name(errno) : text);
}

static void print_content(int directory, const char *name, const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return;
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        printf(" size %lld content %s", (long long)status->st_size, errno_name(errno));
        return;
    }
    gint64 size;
    guint64 digest = digest_file(file, &size);
    printf(" size %lld content %" G_GINT64_FORMAT ":%016" G_GINT64_MODIFIER "x",
           (long long)status->st_size, size, digest);
    close(file);
}

/* The group is named by its first line; files with one name need none. */
static void print_group(struct dump *dump, const struct stat *status)
{
    if (S_ISDIR(status->st_mode))
        return;
    if (status->st_nlink < 2) {
        printf(" nlink %lu", (unsigned long)status->st_nlink);
        return;
    }
    char *key =
        g_strdup_printf("%lx:%lx", (unsigned long)status->st_dev, (unsigned long)status->st_ino);
    gpointer first;
    if (!g_hash_table_lookup_extended(dump->groups, key, NULL, &first)) {
        first = GUINT_TO_POINTER(dump->lines);
        g_hash_table_insert(dump->groups, key, first);
    } else {
        g_free(key);
    }
    printf(" group %u", GPOINTER_TO_UINT(first));
}

static void print_tree(struct dump *dump, int directory, const char *prefix);

static void print_entry(struct dump *dump, int directory, const char *prefix, const char *name)
{
    struct stat status;
    g_autofree char *text = escape(name);
    g_autofree char *path = g_strdup_printf("%s%s", prefix, text);
    dump->lines++;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        printf("tree %s %s\n", path, errno_name(errno));
        return;
    }
    printf("tree %s %s %o", path, kind_of_mode(status.st_mode), status.st_mode & 07777);
    print_group(dump, &status);
    print_content(directory, name, &status);
    if (S_ISLNK(status.st_mode))
        print_target(dump, directory, name);
    if (status.st_uid != geteuid())
        printf(" uid %u", status.st_uid);
    if (IS_CHOSEN_TIME(status.st_mtime))
        printf(" mtime %lld.%09ld", (long long)status.st_mtime, status.st_mtim.tv_nsec);
    print_attributes(directory, name);
    printf("\n");
    if (!S_ISDIR(status.st_mode))
        return;
    int below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    g_autofree char *deeper = g_strdup_printf("%s/", path);
    if (below < 0)
        printf("tree %s %s\n", deeper, errno_name(errno));
    else
        print_tree(dump, below, deeper);
}

/* Closes `directory`. */
static void print_tree(struct dump *dump, int directory, const char *prefix)
{
    g_autoptr(GPtrArray) names = names_in(directory);
    if (names == NULL)
        printf("tree %s %s\n", prefix, errno_name(errno));
    for (guint i = 0; names != NULL && i < names->len; i++)
        print_entry(dump, directory, prefix, names->pdata[i]);
    close(directory);
}

void tree_print(const char *top, const char *root)
{
    struct dump dump = { root, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL), 0 };
    int directory = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        printf("tree . %s\n", errno_name(errno));
    else
        print_tree(&dump, directory, "");
    g_hash_table_unref(dump.groups);
}
