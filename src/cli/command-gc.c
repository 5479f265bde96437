// SPDX-License-Identifier: Apache-2.0
/* vial gc: makes the store smaller. */
#include "cache/cache.h"
#include "cli/cli.h"

#include <stdio.h>

int command_gc(int argc, char **argv)
{
    g_autofree char *size_text = NULL;
    const GOptionEntry entries[] = {
        { "max-size", 0, 0, G_OPTION_ARG_STRING, &size_text, "What may stay, such as 500M or 20G",
          "SIZE" },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    const struct usage usage = {
        .name = "gc",
        .arguments = "--max-size SIZE",
        .summary = "Remove the results used least recently, and the files only they need.",
        .entries = entries,
    };
    enum parsed parsed = options_parse(&usage, &argc, &argv);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? finish_output(EXIT_OK) : EXIT_USAGE;
    guint64 size;
    int status = EXIT_FAILED;
    struct store_gc_result result;
    g_autoptr(GError) error = NULL;
    if (size_text == NULL) {
        fputs("vial gc: --max-size SIZE is missing; see: vial gc --help\n", stderr);
        return EXIT_USAGE;
    }
    if (!options_size(size_text, &size, &error))
        return fail(error);
    g_autoptr(store) store = open_store(false, &status);
    if (store == NULL)
        return status;
    if (!cache_gc(store, size, &result, &error))
        return fail(error);
    g_autofree char *removed = g_format_size_full(result.bytes_removed, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *kept = g_format_size_full(result.bytes_kept, G_FORMAT_SIZE_IEC_UNITS);
    printf("evicted %" G_GUINT64_FORMAT " results and puts; removed %" G_GUINT64_FORMAT
           " blobs, %s; kept %" G_GUINT64_FORMAT ", %s\n",
           result.evicted, result.blobs_removed, removed, result.blobs_kept, kept);
    return finish_output(EXIT_OK);
}
