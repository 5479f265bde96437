// SPDX-License-Identifier: Apache-2.0
/*
 * Paths as text. Nothing here touches the file system.
 *
 * A *relative path* is what trees use: components joined by single slashes, no leading or trailing
 * slash, no "." or ".." component, never empty, valid UTF-8.
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <glib.h>
#include <stdbool.h>

/* Is `name` one component that a tree can hold: UTF-8, not "", ".", "..", without slash or NUL? */
bool path_is_name(const char *name);

/* Is `path` a relative path in the sense above? */
bool path_is_relative(const char *path);

/*
 * Resolve "." and ".." and repeated slashes as text: "/a//b/../c/" -> "/a/c", "x/.." -> ".".
 * A leading ".." of a relative path stays. Caller frees.
 */
char *path_normalize(const char *path);

/*
 * `path` (absolute, or relative to the absolute `base`) as seen from the absolute directory `root`:
 * "" for root itself, a relative path below it, NULL if it lies outside. Caller frees.
 */
char *path_below(const char *root, const char *base, const char *path);

/* "prefix/name", or "name" when prefix is "". Caller frees. */
char *path_join(const char *prefix, const char *name);

/*
 * `text` for a message: as it is if printable, else C-escaped and double-quoted, so that a name
 * with a newline, an escape sequence or invalid UTF-8 cannot forge output. Caller frees.
 */
char *path_quote(const char *text);

#endif
