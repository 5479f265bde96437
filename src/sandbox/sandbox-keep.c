// SPDX-License-Identifier: Apache-2.0
/*
 * The script beside a kept work/ that repeats the command there.
 *
 * Plain sh and util-linux, so that it works without vial and can be read and changed. It builds
 * namespaces like vial's, roughly: what differs is said in its head.
 */
#include "sandbox/sandbox-internal.h"

#include "action/platform.h"
#include "base/fault.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char head[] =
    "#!/bin/sh\n"
    "# Repeats the command that vial ran here, on the files as they are now in work/, home/ and "
    "tmp/.\n"
    "# `./rerun` does it in namespaces like vial's (by unshare of util-linux; repeated by root, "
    "the\n"
    "# command has the user id of the files, not 1000); `./rerun plain` in this directory itself, "
    "as\n"
    "# you, where /workspace, /home/vial and the empty /tmp do not exist: for a debugger.\n"
    "here=$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && pwd) || exit 125\n";

static const char plain_only[] =
    "#!/bin/sh\n"
    "# Repeats the command that vial ran here, on the files as they are now in work/, home/ and "
    "tmp/.\n"
    "here=$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && pwd) || exit 125\n"
    "set -- plain\n";

static const char plain[] = "if [ \"${1-}\" = plain ]; then\n"
                            "    cd \"$here/work/$directory\" || exit 125\n"
                            "    run HOME=\"$here/home\" TMPDIR=\"$here/tmp\"\n"
                            "fi\n";

static const char outside[] =
    "if [ \"${1-}\" != inside ]; then\n"
    "    [ \"$(id -u)\" = 0 ] || user='--user --map-root-user'\n"
    "    exec unshare ${user-} --mount --pid --fork --kill-child --ipc --uts $net \\\n"
    "        /bin/sh \"$here/rerun\" inside \"${user-}\"\n"
    "fi\n"
    "set -e\n"
    "hostname vial 2>/dev/null || :\n"
    "mkdir -p \"$here/root\"\n"
    "mount -t tmpfs -o mode=0755 vial \"$here/root\"\n"
    "cd \"$here/root\"\n"
    "mkdir -p dev home/vial proc tmp workspace\n"
    "for name in bin etc lib lib32 lib64 libx32 sbin usr; do\n"
    "    if [ -L \"/$name\" ]; then\n"
    "        ln -s \"$(readlink \"/$name\")\" \"$name\"\n"
    "    elif [ -d \"/$name\" ]; then\n"
    "        mkdir \"$name\"\n"
    "        mount --rbind \"/$name\" \"$name\"\n"
    "        mount -o remount,bind,ro \"$name\"\n"
    "    fi\n"
    "done\n"
    "[ -n \"$local\" ] || [ ! -d usr/local ] || mount -t tmpfs -o ro vial usr/local\n"
    "mount --bind \"$here/work\" workspace\n"
    "mount --bind \"$here/home\" home/vial\n"
    "mount --bind \"$here/tmp\" tmp\n"
    "mount --rbind /dev dev\n"
    "mount -t proc proc proc\n"
    "exec 3<\"$input\"\n"
    "pivot_root . .\n"
    "umount -l .\n"
    "cd \"/workspace/$directory\"\n"
    "if [ -n \"$2\" ]; then\n"
    "    become='unshare --user --map-user=1000 --map-group=1000'\n"
    "else\n"
    "    become=\"setpriv --reuid=$owner --regid=$owner --clear-groups --no-new-privs\"\n"
    "fi\n"
    "input=/dev/fd/3\n"
    "run\n";

static void append_quoted(GString *script, const char *text)
{
    g_autofree char *quoted = g_shell_quote(text);
    g_string_append_c(script, ' ');
    g_string_append(script, quoted);
}

/* run NAME=VALUE…: the command, with these variables on top of its own. */
static void append_command(GString *script, const struct action *action)
{
    g_string_append(script, "run() {\n    exec ${become-} env -i --");
    for (char **variable = action->environment; *variable != NULL; variable++)
        append_quoted(script, *variable);
    g_string_append(script, " \"$@\"");
    for (char **argument = action->argv; *argument != NULL; argument++)
        append_quoted(script, *argument);
    g_string_append(script, " <\"$input\"\n}\n");
}

static void append_variable(GString *script, const char *name, const char *value)
{
    g_autofree char *quoted = g_shell_quote(value);
    g_string_append_printf(script, "%s=%s\n", name, quoted);
}

static char *make_script(const struct plan *plan, const struct action *action)
{
    bool sealed = plan->level == SANDBOX_NAMESPACES;
    GString *script = g_string_new(sealed ? head : plain_only);
    append_variable(script, "directory", action->directory);
    g_string_append_printf(script, "input=%s\n", plan->input == NULL ? "/dev/null" : "$here/input");
    append_command(script, action);
    g_string_append(script, plain);
    if (sealed) {
        g_string_append_printf(script, "owner=%u\n", plan->separate ? SANDBOX_HOST_ID : 0);
        append_variable(script, "net", plan->network ? "" : "--net");
        append_variable(script, "local", platform_shows_local(action) ? "shown" : "");
        g_string_append(script, outside);
    }
    return g_string_free(script, FALSE);
}

bool sandbox_write_rerun(const struct launch *launch, const struct action *action, GError **error)
{
    g_autofree char *script = make_script(launch->plan, action);
    autofd int file =
        openat(launch->directory, "rerun", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (file < 0)
        return fault_errno(error, errno, "cannot write %s/rerun", launch->plan->path);
    return fd_write_all(file, script, strlen(script), "the script that repeats the command", error);
}
