// SPDX-License-Identifier: Apache-2.0
/* vial log: lists runs. */
#include "base/path.h"
#include "cli/cli.h"
#include "session/session.h"

#include <jansson.h>
#include <stdio.h>

struct listing {
    const char *workspace;
    gboolean all, json;
    int most; /* < 0: no limit */
    guint at;
    json_t *runs;
};

static void print_json(struct listing *listing, const struct history_entry *entry, guint number)
{
    char text[DIGEST_TEXT_SIZE];
    json_t *argv = json_array();
    for (char **argument = entry->argv; *argument != NULL; argument++) {
        g_autofree char *valid = g_utf8_make_valid(*argument, -1);
        json_array_append_new(argv, json_string(valid));
    }
    g_autofree char *workspace = g_utf8_make_valid(entry->workspace, -1);
    json_t *run = json_pack("{s:I, s:s, s:o, s:s, s:s, s:b, s:i, s:f, s:f, s:s*, s:s*}", "time",
                            (json_int_t)(entry->time / G_USEC_PER_SEC), "workspace", workspace,
                            "argv", argv, "key", digest_print(&entry->key, text), "result",
                            entry->hit ? "hit" : "run", "stored", (int)entry->stored, "exit",
                            entry->exit_code, "duration", (double)entry->duration / G_USEC_PER_SEC,
                            "work", (double)entry->work / G_USEC_PER_SEC, "reason", entry->reason,
                            "miss", entry->miss);
    if (!listing->all)
        json_object_set_new(run, "run", json_integer(number));
    json_array_append_new(listing->runs, run);
}

static void print_line(const struct listing *listing, const struct history_entry *entry,
                       guint number)
{
    g_autofree char *command = g_strjoinv(" ", entry->argv);
    g_autofree char *quoted = path_quote(command);
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(entry->time / G_USEC_PER_SEC);
    g_autofree char *stamp = g_date_time_format(time, "%Y-%m-%d %H:%M:%S");
    g_autofree char *name =
        listing->all ? g_strdup(entry->workspace) : g_strdup_printf("@%u", number);
    printf("%-5s %s  %-3s  exit %-3d  %9.3f s  %s\n", name, stamp, entry->hit ? "hit" : "run",
           entry->exit_code, (double)entry->duration / G_USEC_PER_SEC, quoted);
}

static bool visit(const struct history_entry *entry, void *user)
{
    struct listing *listing = user;
    if (!listing->all && g_strcmp0(entry->workspace, listing->workspace) != 0)
        return true;
    guint number = listing->at++;
    if (listing->most >= 0 && number >= (guint)listing->most)
        return false;
    if (listing->json)
        print_json(listing, entry, number);
    else
        print_line(listing, entry, number);
    return true;
}

int command_log(int argc, char **argv)
{
    struct listing listing = { .most = -1 };
    const GOptionEntry entries[] = {
        { "all", 'a', 0, G_OPTION_ARG_NONE, &listing.all, "Runs of every workspace", NULL },
        { "number", 'n', 0, G_OPTION_ARG_INT, &listing.most, "At most N runs", "N" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &listing.json, "Print JSON", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "log",
        .arguments = "",
        .summary = "List the recorded runs of this workspace, the latest first.",
        .entries = entries,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    int status = EXIT_FAILED;
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = open_store(true, &status);
    if (store == NULL)
        return status;
    g_autofree char *here = g_get_current_dir();
    g_autoptr(session) session = session_open(here, store, NULL, &error);
    if (session == NULL)
        return fail(error);
    listing.workspace = session_workspace(session);
    listing.runs = json_array();
    history_each(store, visit, &listing);
    if (listing.json) {
        json_dumpf(listing.runs, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(listing.runs);
    return finish_output(EXIT_OK);
}
