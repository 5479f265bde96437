// SPDX-License-Identifier: Apache-2.0
// build: -Wall
/* Copies "a" to a file without a name, which then gets the name "made" (O_TMPFILE, linkat). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char text[4096], path[40];
    int from = open("a", O_RDONLY), to = open(".", O_TMPFILE | O_WRONLY, 0644);
    ssize_t size = read(from, text, sizeof text);
    if (to < 0 || size < 0 || write(to, text, (size_t)size) != size)
        return 1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", to);
    return linkat(AT_FDCWD, path, AT_FDCWD, "made", AT_SYMLINK_FOLLOW) != 0;
}
