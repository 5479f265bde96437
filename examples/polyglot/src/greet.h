// SPDX-License-Identifier: Apache-2.0
#ifndef GREET_H
#define GREET_H

const char *greet(unsigned number);

#endif
