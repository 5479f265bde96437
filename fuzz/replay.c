// SPDX-License-Identifier: Apache-2.0
/* Without libFuzzer: feeds a target nothing at all, then each file of the directory named. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("ok 1 nothing\n");
    int count = 1;
    g_autoptr(GDir) seeds = argc > 1 ? g_dir_open(argv[1], 0, NULL) : NULL;
    for (const char *name; seeds != NULL && (name = g_dir_read_name(seeds)) != NULL;) {
        g_autofree char *path = g_build_filename(argv[1], name, NULL);
        g_autofree char *data = NULL;
        gsize size;
        g_autoptr(GError) error = NULL;
        if (!g_file_get_contents(path, &data, &size, &error)) {
            printf("not ok %d %s\n", ++count, error->message);
            continue;
        }
        /* An exact copy lets the sanitizers see a read past the end. */
        g_autofree guint8 *copy = g_memdup2(data, size);
        LLVMFuzzerTestOneInput(copy, size);
        printf("ok %d %s\n", ++count, name);
        fflush(stdout);
    }
    printf("1..%d\n", count);
    return 0;
}
