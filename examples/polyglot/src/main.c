// SPDX-License-Identifier: Apache-2.0
#include "greet.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    puts(greet(argc > 1 ? (unsigned)atoi(argv[1]) : 0));
    return 0;
}
