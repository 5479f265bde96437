// SPDX-License-Identifier: Apache-2.0
/*
 * What the session and the program that it puts in the place of others (shim.c) say to each other.
 *
 * The kernel starts the shim as the interpreter of a program: SHIM_PATH, the ticket that the
 * session has issued for the call, the path of the program, the arguments from argv[1] on. All else
 * is the process's own: environment, descriptors, signals, directory.
 *
 * It connects to SHIM_SOCKET (SOCK_SEQPACKET) and sends the ticket as one message of text. The
 * answer is one message: a byte of enum shim_answer, then what belongs to that. Without an answer
 * the shim executes the program with its path as argv[0].
 *
 * After SHIM_RUN_IN_VIEW the conversation goes on, a byte in each message:
 *
 *   shim     SHIM_MOUNTED, with the /dev/fuse that it has mounted a view over
 *   session  SHIM_SERVED
 *   shim     SHIM_ENDED: the program has ended
 *   session  SHIM_COMMITTED: what it wrote is in the view of its parent; or SHIM_LOST
 *
 * Whatever fails before the program is executed in the view ends the conversation, and the shim
 * executes it in its own place.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#define SHIM_PATH "/run/vial/shim"
#define SHIM_SOCKET "/run/vial/trap"

enum shim_answer {
    SHIM_RUN_HERE = 'h', /* execute the program in this process; argv[0] follows, without a NUL */
    SHIM_RUN_IN_VIEW = 'v', /* in a view and a process of its own. Texts follow, each with a NUL:
                               argv[0]; maps of users and of groups; the ids that the view's files
                               belong to; then pairs: a path to be bound into the view from where
                               the shim is, and what below it is the view's own, or "" */
};

enum shim_step {
    SHIM_MOUNTED = 'm',
    SHIM_SERVED = 's',
    SHIM_ENDED = 'e',
    SHIM_COMMITTED = 'c',
    SHIM_LOST = 'l',
};

/* The kernel takes no longer argument than 32 pages (MAX_ARG_STRLEN), of up to 64 KiB. */
#define SHIM_ANSWER_MAX (1 + 32 * 65536)

#endif
