#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long the rule graph of made rule sets takes, by shape and size: bench/graph.c prints the table.

Goals: 46 rules and 9 queries with deep recursion <= 2 ms; 2,000 rules <= 100 ms."""
import pathlib
import subprocess
import sys

subprocess.run([pathlib.Path(sys.argv[1]).parent / "bench" / "bench-graph"], check=True)
