# SPDX-License-Identifier: Apache-2.0
# The program prints the greeting of its number.
[ "$(src/main 1)" = 'good morning' ]
