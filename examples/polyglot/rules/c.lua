-- SPDX-License-Identifier: Apache-2.0
-- Objects and programs. A program is its main file with all files that have neither main() nor tests.
local Source = record "Source" { "path" }
local Object = record "Object" { "digest", "path" }
local Main = record "Main" { "path" }
local Program = record "Program" { "digest", "path" }

local function run_compiler(cc, arguments, input, output)
  local result = get("ProcessResult", Process {
    argv = { cc.path, "-o", output, table.unpack(arguments) },
    input = input,
    outputs = { output },
    description = output,
  })
  if result.status ~= 0 then
    error(output .. " cannot be made:\n" .. result.stderr, 0)
  end
  return result.output
end

rule "compile" {
  output = "Object",
  params = { "Source" },
  gets = { { "Words" }, { "Snapshot", "PathGlobs" }, { "Digest", "MergeDigests" }, { "Binary", "FindBinary" },
    { "ProcessResult", "Process" } },
  run = function(source)
    local files = get("Snapshot", PathGlobs { globs = { source.path, "src/*.h" } })
    local input = get("Digest", MergeDigests { digests = { files.digest, get("Words").digest } })
    local cc = get("Binary", FindBinary { name = "cc" })
    local path = source.path:gsub("%.c$", ".o")
    return Object { path = path, digest = run_compiler(cc, { "-Wall", "-c", source.path }, input, path) }
  end,
}

rule "link" {
  output = "Program",
  params = { "Main" },
  gets = { { "Object", "Source" }, { "Snapshot", "PathGlobs" }, { "Digest", "MergeDigests" },
    { "Binary", "FindBinary" }, { "ProcessResult", "Process" } },
  run = function(main)
    local library = get("Snapshot", PathGlobs { globs = { "src/*.c", "!src/*_test.c", "!src/main.c" } })
    local wanted = { { "Object", Source { path = main.path } } }
    for _, path in ipairs(library.files) do
      table.insert(wanted, { "Object", Source { path = path } })
    end
    local digests, paths = {}, {}
    for i, object in ipairs(get_all(wanted)) do
      digests[i], paths[i] = object.digest, object.path
    end
    local input = get("Digest", MergeDigests { digests = digests })
    local program = main.path:gsub("%.c$", "")
    local cc = get("Binary", FindBinary { name = "cc" })
    return Program { path = program, digest = run_compiler(cc, paths, input, program) }
  end,
}
