// SPDX-License-Identifier: Apache-2.0
/*
 * Ordered sets of gitignore-like patterns that select paths.
 *
 * One pattern (see gitignore(5), with the sense turned round: what matches is selected):
 *   *  ?  [a-z]  [!a]  [[:alpha:]]   within one component; ? is one UTF-8 character
 *   **                  as a whole component: any number of them; at the end, all that is inside
 *   \x                  the character x itself     a trailing / : directories only
 *   a slash at the start or in the middle anchors the pattern at the root; without one it matches
 *   at any depth; a leading "./" anchors as "/" does.
 * A leading "!" takes away again. For each path the last pattern that matches the path *or one of
 * its parent directories* decides. If the first pattern is negative, everything is selected to
 * begin with. An empty set selects everything.
 */
#ifndef TREE_GLOB_H
#define TREE_GLOB_H

#include <glib.h>
#include <stdbool.h>

struct glob;
typedef struct glob glob;

struct glob *glob_new(void);
void glob_free(struct glob *glob);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(glob, glob_free)

/*
 * Append a pattern, relative to `prefix` ("" or a relative path; a pattern without a slash then
 * matches at any depth below prefix). ".." components are resolved against prefix as text.
 * FAULT_USAGE for an empty pattern, an unclosed bracket, a backslash before nothing, or a pattern
 * that leaves the root.
 */
bool glob_add(struct glob *glob, const char *prefix, const char *pattern, GError **error);

/* Append `path` taken literally (no metacharacter has meaning) and anchored; it and all below. */
bool glob_add_path(struct glob *glob, const char *path, bool negative, GError **error);

/* Does `text` contain an unescaped metacharacter (* ? [ or a leading !)? */
bool glob_is_pattern(const char *text);

bool glob_match(const struct glob *glob, const char *path, bool is_directory);

/* Could anything below directory `path` be selected? True when in doubt: lets walks prune. */
bool glob_may_match_below(const struct glob *glob, const char *path);

/* Is all that can lie below directory `path` selected? False when in doubt: lets walks stop asking.
 */
bool glob_selects_below(const struct glob *glob, const char *path);

/* Append bytes that stand for `glob`: where they are equal, so is what is selected. */
void glob_encode(const struct glob *glob, GByteArray *out);

#endif
