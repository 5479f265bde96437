-- SPDX-License-Identifier: Apache-2.0
-- Tests: programs in C, and scripts that are given the main program.
local CTest = record "CTest" { "path" }
local ScriptTest = record "ScriptTest" { "path" }
local TestResult = record "TestResult" { "passed", "text" }
local Report = record "Report" { "passed", "failed", "text" }

local function judge(name, result)
  local passed = result.status == 0
  return TestResult { passed = passed, text = (passed and "ok " or "FAILED ") .. name .. "\n" .. result.stderr }
end

rule "run_c_test" {
  output = "TestResult",
  params = { "CTest" },
  gets = { { "Program", "Main" }, { "ProcessResult", "Process" } },
  run = function(test)
    local program = get("Program", Main { path = test.path })
    return judge(test.path, get("ProcessResult", Process {
      argv = { "./" .. program.path },
      input = program.digest,
      description = test.path,
    }))
  end,
}

rule "run_script_test" {
  output = "TestResult",
  params = { "ScriptTest" },
  gets = { { "Program", "Main" }, { "Snapshot", "PathGlobs" }, { "Digest", "MergeDigests" },
    { "ProcessResult", "Process" } },
  run = function(test)
    local program = get("Program", Main { path = "src/main.c" })
    local script = get("Snapshot", PathGlobs { globs = { test.path } })
    return judge(test.path, get("ProcessResult", Process {
      argv = { "sh", test.path },
      input = get("Digest", MergeDigests { digests = { program.digest, script.digest } }),
      description = test.path,
    }))
  end,
}

rule "report" {
  output = "Report",
  gets = { { "Snapshot", "PathGlobs" }, { "TestResult", "CTest" }, { "TestResult", "ScriptTest" } },
  run = function()
    local wanted, passed, failed, text = {}, 0, 0, ""
    for _, path in ipairs(get("Snapshot", PathGlobs { globs = { "src/*_test.c" } }).files) do
      table.insert(wanted, { "TestResult", CTest { path = path } })
    end
    for _, path in ipairs(get("Snapshot", PathGlobs { globs = { "test/*.sh" } }).files) do
      table.insert(wanted, { "TestResult", ScriptTest { path = path } })
    end
    for _, result in ipairs(get_all(wanted)) do
      passed = passed + (result.passed and 1 or 0)
      failed = failed + (result.passed and 0 or 1)
      text = text .. result.text
    end
    return Report { passed = passed, failed = failed, text = text }
  end,
}
