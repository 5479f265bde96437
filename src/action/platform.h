// SPDX-License-Identifier: Apache-2.0
/*
 * The machine and system as an action can see them, as properties "name=value" of its platform.
 *
 * What belongs to one machine's identity but not to what a program computes (host name, user, time)
 * is not here. /usr, /bin and /lib are vouched for by the package database, /etc and (where it is
 * visible) /usr/local by the digest of all that is readable there, through the stat cache: what a
 * package manager does not own is never trusted unseen. What this cannot see is listed in
 * doc/design/platform.md.
 */
#ifndef ACTION_PLATFORM_H
#define ACTION_PLATFORM_H

#include "action/action.h"
#include "store/capture.h"

/*
 * Files of /etc that say who or where the machine is. A sealed action sees these texts in their
 * place, if the host has a regular file there; so the host's own are not part of the fingerprint,
 * and a laptop that joins another network does not run everything again.
 */
struct platform_text {
    const char *path, *text;
    bool names_hosts; /* left alone for an action that may use the network */
};
extern const struct platform_text platform_texts[]; /* ends with path == NULL */

/*
 * A sealed action finds here what its own platform says of packages, since the package database is
 * not visible: what vouches for /usr outside vouches for it inside, too.
 */
#define PLATFORM_PACKAGES "/run/vial/packages"

#define PLATFORM_VIEW "view"
#define PLATFORM_OBSERVED_SYSTEM "view-system"

/*
 * Is /usr/local part of what the action sees? Only if its PATH or its program leads there:
 * otherwise an empty directory covers it and it is not fingerprinted.
 */
bool platform_shows_local(const struct action *action);

/*
 * The program that argv[0] means on the host's file system (absolute path, through PATH of the
 * action); NULL if there is none, or if it is relative, that is, one of the inputs. Caller frees.
 */
char *platform_program(const struct action *action);

/*
 * Properties of this machine for `action`, sorted; its argv and environment must be set.
 * `isolation` names the executor's level; at PLATFORM_OBSERVED_SYSTEM the system is no property:
 * what an action sees of it is a fact. Costs one stat per file of /etc when nothing changed.
 */
char **platform_fingerprint(struct stat_cache *cache, const struct action *action,
                            const char *isolation, GError **error);

#endif
