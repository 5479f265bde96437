// SPDX-License-Identifier: Apache-2.0
#include "greet.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(greet(0), "hello") == 0 && strcmp(greet(3), greet(1)) == 0)
        return 0;
    fprintf(stderr, "greet(0) is %s\n", greet(0));
    return 1;
}
