# SPDX-License-Identifier: Apache-2.0
"""Make a table in C out of lines: words.py LINES TABLE."""
import json
import pathlib
import sys

lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
table = "".join(f"    {json.dumps(line)},\n" for line in lines)
pathlib.Path(sys.argv[2]).write_text(f"static const char *const words[] = {{\n{table}}};\n")
