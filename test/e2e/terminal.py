#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command on a terminal of its own and type Ctrl-C when it asks for it.

usage: terminal.py COMMAND [ARGUMENT]…

For each line "ready" or "again" that appears on the terminal, Ctrl-C is typed once. Prints what
appeared and exits with the command's status.
"""
import os
import pty
import select
import sys

PATIENCE = 60 * int(os.environ.get("PATIENCE", "1"))


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    seen, answered = b"", 0
    while True:
        if not select.select([terminal], [], [], PATIENCE)[0]:
            sys.exit(f"terminal.py: nothing happens after: {seen!r}")
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not data:
            break
        seen += data
        asked = seen.count(b"ready\r\n") + seen.count(b"again\r\n")
        while answered < asked:
            os.write(terminal, b"\x03")
            answered += 1
    sys.stdout.buffer.write(seen)
    sys.stdout.flush()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
