-- SPDX-License-Identifier: Apache-2.0
-- A small repository in three languages: a program in C, a table that Python makes, tests in C and shell.
-- `vial query 'Report()'` builds what the tests need and runs them. No rule names another.
include "rules/table.lua"
include "rules/c.lua"
include "rules/test.lua"

query { output = "Report" }
query { output = "Program", params = { "Main" } }
