// SPDX-License-Identifier: Apache-2.0
// build: -Wall
/* Adds one to the first byte of "a" through a shared mapping. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    int file = open("a", O_RDWR);
    char *text = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || text == MAP_FAILED)
        return 1;
    text[0]++;
    return 0;
}
