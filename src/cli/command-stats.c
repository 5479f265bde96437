// SPDX-License-Identifier: Apache-2.0
/* vial stats: what the store holds and what it saved. */
#include "cache/history.h"
#include "cli/cli.h"

#include <jansson.h>
#include <stdio.h>

struct sums {
    guint64 hits, misses;
    gint64 saved; /* microseconds */
};

static bool add(const struct history_entry *entry, void *user)
{
    struct sums *sums = user;
    if (entry->hit) {
        sums->hits++;
        sums->saved += MAX(entry->work - entry->duration, 0);
    } else {
        sums->misses++;
    }
    return true;
}

static void print_json(const struct store *store, const struct store_statistics *sizes,
                       const struct sums *sums)
{
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "store", store_path(store), "blobs",
        (json_int_t)sizes->blobs, "blob_bytes", (json_int_t)sizes->blob_bytes, "objects",
        (json_int_t)sizes->objects, "object_bytes", (json_int_t)sizes->object_bytes, "disk_bytes",
        (json_int_t)sizes->disk_bytes, "results", (json_int_t)sizes->records[STORE_RESULTS], "hits",
        (json_int_t)sums->hits, "misses", (json_int_t)sums->misses, "saved_seconds",
        (double)sums->saved / G_USEC_PER_SEC);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

static void print_text(const struct store *store, const struct store_statistics *sizes,
                       const struct sums *sums)
{
    g_autofree char *blobs = g_format_size_full(sizes->blob_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *objects = g_format_size_full(sizes->object_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *disk = g_format_size_full(sizes->disk_bytes, G_FORMAT_SIZE_IEC_UNITS);
    guint64 runs = sums->hits + sums->misses;
    printf("store       %s\n", store_path(store));
    printf("on disk     %s\n", disk);
    printf("blobs       %" G_GUINT64_FORMAT ", %s; %" G_GUINT64_FORMAT " of them files, %s\n",
           sizes->blobs, blobs, sizes->objects, objects);
    printf("results     %" G_GUINT64_FORMAT "\n", sizes->records[STORE_RESULTS]);
    printf("hits        %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " runs (%.0f %%)\n",
           sums->hits, runs, runs == 0 ? 0.0 : 100.0 * (double)sums->hits / (double)runs);
    printf("misses      %" G_GUINT64_FORMAT "\n", sums->misses);
    printf("time saved  %.1f s\n", (double)sums->saved / G_USEC_PER_SEC);
}

int command_stats(int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "stats",
        .arguments = "",
        .summary = "Show sizes, hits, misses and time saved.",
        .entries = entries,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    int status = EXIT_FAILED;
    struct store_statistics sizes;
    struct sums sums = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = open_store(true, &status);
    if (store == NULL)
        return status;
    if (!store_statistics(store, &sizes, &error))
        return fail(error);
    history_each(store, add, &sums);
    (json ? print_json : print_text)(store, &sizes, &sums);
    return finish_output(EXIT_OK);
}
