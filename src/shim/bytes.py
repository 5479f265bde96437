# SPDX-License-Identifier: Apache-2.0
"""The bytes of a file as the elements of a C array."""
import sys

with open(sys.argv[1], "rb") as file:
    data = file.read()
for start in range(0, len(data), 20):
    print(" ".join(f"{byte}," for byte in data[start:start + 20]))
