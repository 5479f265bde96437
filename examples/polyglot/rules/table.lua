-- SPDX-License-Identifier: Apache-2.0
-- src/words.h out of words.txt, by a Python script.
local Words = record "Words" { "digest" }

rule "words" {
  output = "Words",
  gets = { { "Snapshot", "PathGlobs" }, { "Binary", "FindBinary" }, { "ProcessResult", "Process" } },
  run = function()
    local files = get("Snapshot", PathGlobs { globs = { "tools/words.py", "words.txt" } })
    local python = get("Binary", FindBinary { name = "python3" })
    local made = get("ProcessResult", Process {
      argv = { python.path, "tools/words.py", "words.txt", "src/words.h" },
      input = files.digest,
      outputs = { "src/words.h" },
      description = "src/words.h",
    })
    assert(made.status == 0, made.stderr)
    return Words { digest = made.output }
  end,
}
