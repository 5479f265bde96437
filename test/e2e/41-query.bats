#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial query: rules that run.
load helper

# rules LINE…: the workspace's.
rules() {
    printf '%s\n' "$@" >vial.lua
}

# asks QUERY ANSWER
asks() {
    exits 0 vial query "$1"
    same "$output" "$2"
}

# explained QUERY WHAT…: --explain lists these, without their times, in any order.
explained() {
    exits 0 vial query --explain "$1"
    same "$(sed -n 's/^\(.*\)  (\([a-z]*\).*)$/\2 \1/p' <<<"$stderr" | sort)" "$(printf '%s\n' "${@:2}" | sort)"
}

greetings() {
    rules 'record "Name" { "value" }' 'record "Greeting" { "text" }' 'record "Upper" { "text" }' \
        'rule "upper" { output = "Upper", params = { "Name" },' \
        '  run = function(n) return Upper { text = n.value:upper() } end }' \
        'rule "greet" { output = "Greeting", params = { "Name" }, gets = { { "Upper", "Name" } },' \
        '  run = function(name)' \
        '    local all = get_all { { "Upper", Name { value = "b" } }, { "Upper", Name { value = "c" } } }' \
        '    return Greeting { text = get("Upper", name).text .. all[1].text .. all[2].text } end }' \
        'query { output = "Greeting", params = { "Name" } }'
}

@test "a query is answered, and from the memo the next time" {
    greetings
    explained 'Greeting(Name{value="x"})' 'ran greet(Name{value="x"})' 'ran upper(Name{value="x"})' \
        'ran upper(Name{value="b"})' 'ran upper(Name{value="c"})'
    same "$output" 'Greeting{text="XBC"}'
    explained 'Greeting(Name{value="x"})' 'memoized Greeting(Name{value="x"})'
    same "$output" 'Greeting{text="XBC"}'
    mkdir sub
    cd sub
    asks 'Greeting( Name { value = ("y"):rep(2) } )' 'Greeting{text="YYBC"}'
}

@test "what the rules say is part of the key" {
    greetings
    asks 'Greeting(Name{value="x"})' 'Greeting{text="XBC"}'
    sed -i 's/:upper()/:rep(2)/' vial.lua
    asks 'Greeting(Name{value="x"})' 'Greeting{text="xxbbcc"}'
    sed -i 's/:rep(2)/:upper()/' vial.lua
    asks 'Greeting(Name{value="x"})' 'Greeting{text="XBC"}'
    echo 'return "!"' >more.lua
    sed -i '1i local more = include "more.lua"' vial.lua
    sed -i 's/:upper()/:upper() .. more/' vial.lua
    asks 'Greeting(Name{value="x"})' 'Greeting{text="X!B!C!"}'
    echo 'return "?"' >more.lua
    asks 'Greeting(Name{value="x"})' 'Greeting{text="X?B?C?"}'
}

@test "no params, several inputs, and a rule that runs every time" {
    rules 'record "A" { "n" }' 'record "B" { "n" }' 'record "Sum" { "n" }' 'record "All" { "n" }' 'record "Now" {}' \
        'rule "now" { output = "Now", cacheable = false, run = function() return Now {} end }' \
        'rule "sum" { output = "Sum", params = { "B", "A" }, run = function(b, a) return Sum { n = 10 * b.n + a.n } end }' \
        'rule "all" { output = "All", gets = { { "Sum", { "A", "B" } }, { "Now" } },' \
        '  run = function() get("Now"); return All { n = get("Sum", A { n = 1 }, B { n = 2 }).n } end }' \
        'query { output = "All" }'
    asks 'All()' 'All{n=21}'
    asks All 'All{n=21}'
    explained 'All()' 'ran now()' 'memoized sum(A{n=1}, B{n=2})' 'cleaned all()'
}

@test "recursion grounds at run time" {
    rules 'record "N" { "n" }' 'record "F" { "n" }' \
        'rule "fib" { output = "F", params = { "N" }, gets = { { "F", "N" } }, run = function(n)' \
        '  if n.n < 2 then return F { n = n.n } end' \
        '  local two = get_all { { "F", N { n = n.n - 1 } }, { "F", N { n = n.n - 2 } } }' \
        '  return F { n = two[1].n + two[2].n } end }' \
        'query { output = "F", params = { "N" } }'
    asks 'F(N{n=40})' 'F{n=102334155}'
}

@test "a failure names the line, and the rules that asked with their params" {
    rules 'record "A" { "n" }' 'record "B" { "n" }' \
        'rule "b" { output = "B", params = { "A" }, run = function(a)' \
        '  return a.n.x end }' \
        'rule "top" { output = "Top", gets = { { "B", "A" } }, run = function()' \
        '  pcall(get, "B", A { n = 7 }) end }' \
        'query { output = "Top" }'
    exits 1 vial query 'Top()'
    same "$output" ""
    same "$stderr" "vial: vial.lua:4: attempt to index a number value (field 'n')
  in b(A{n=7})
  in top(), vial.lua:6
  in query Top()"
}

@test "what rules may not do" {
    rules 'record "In" { "n" }' 'record "Out" { "x" }' 'record "Other" {}' \
        'local limits = {' \
        '  function() get("Other") end,' \
        '  function() get("Out", 1) end,' \
        '  function() return 1 end,' \
        '  function() return Other {} end,' \
        '  function() while true do pcall(function() while true do end end) end end,' \
        '  function() table.sort({ 2, 1 }, function() get("Out", In { n = 1 }) end) end,' \
        '  function() query { output = "Out" } end,' \
        '  function(n) get("Out", n) end,' \
        '}' \
        'rule "out" { output = "Out", params = { "In" }, gets = { { "Out", "In" } },' \
        '  run = function(n) return limits[n.n](n) end }' \
        'query { output = "Out", params = { "In" } }'
    local n=0 message
    for message in 'vial.lua:5: this get is not among the gets of the rule: Other <- {}; it has Out <- {In}' \
        'vial.lua:6: input 1 of the get of Out is a number, not a record' \
        'vial.lua:14: rule "out" returned a number, not a record of type Out' \
        'vial.lua:14: rule "out" returned a Other, not a record of type Out' \
        'vial.lua:9: stopped: too many instructions' \
        'vial.lua:10: attempt to yield across a C-call boundary' \
        'vial.lua:11: declarations are made while files are loaded, not by a rule' \
        'a rule needs its own result'; do
        n=$((n + 1))
        exits 1 vial query "Out(In{n=$n})"
        contains "$stderr" "$message"
    done
}

@test "queries that are none, or not declared" {
    greetings
    exits 1 vial query 'Greeting()'
    contains "$stderr" 'the nearest declared one is Greeting(Name)'
    exits 2 vial query 'Greeting(Name{value=x})'
    contains "$stderr" 'there is no "x"'
    exits 2 vial query 'Greeting("x")'
    contains "$stderr" 'param 1 of the query is a string, not a record'
    exits 2 vial query 'Greeting('
    exits 2 vial query
    exits 2 vial query 'Greeting((function() while true do end end)())'
    contains "$stderr" 'too many instructions'
}

@test "rules that are wrong run nothing, and say so" {
    greetings
    echo 'query { output = "Nothing" }' >>vial.lua
    exits 1 vial query 'Greeting(Name{value="x"})'
    contains "$stderr" 'vial.lua:11: '
    rm vial.lua
    exits 1 vial query 'Greeting(Name{value="x"})'
    contains "$stderr" 'No such file'
}

@test "a signal ends a query" {
    rules 'record "N" { "n" }' 'record "F" { "n" }' \
        'rule "on" { output = "F", params = { "N" }, gets = { { "F", "N" } }, cacheable = false, run = function(n)' \
        '  return get("F", N { n = n.n + 1 }) end }' \
        'query { output = "F", params = { "N" } }'
    exits 130 timeout --preserve-status --signal INT 1 "$VIAL" query 'F(N{n=1})'
}

@test "a rule leaves nothing for the next one" {
    rules 'record "In" { "n" }' 'record "Out" { "x" }' \
        'local count, list, deep = 0, { 3, 1, 2 }, { inner = { a = 1, b = { "x", "y" } } }' \
        'local function count_up() count = count + 1 end' \
        'local tries = {' \
        '  function() count_up() end,' \
        '  function() list[1] = 7 end,' \
        '  function() deep.inner.b.c = 7 end,' \
        '  function() table.insert(list, 7) end,' \
        '  function() table.sort(list) end,' \
        '  function() table.remove(list) end,' \
        '  function() pcall(function() list[1] = 7 end) end,' \
        '}' \
        'rule "out" { output = "Out", params = { "In" }, run = function(n)' \
        '  if tries[n.n] then tries[n.n]() end' \
        '  local seen = {}' \
        '  for k, v in pairs(list) do seen[k] = v end' \
        '  for k, v in ipairs(list) do assert(seen[k] == v and #list == 3) end' \
        '  table.sort(seen)' \
        '  for k in pairs(deep.inner) do table.insert(seen, k) end' \
        '  local copy = table.move(list, 1, #list, 1, {})' \
        '  return Out { x = { count, table.concat(seen), list, deep.inner.b, next(deep.inner), #copy, (table.unpack(list)) } } end }' \
        'query { output = "Out", params = { "In" } }'
    local n
    exits 1 vial query 'Out(In{n=1})'
    contains "$stderr" 'vial.lua:14: rule "out" set "count", which is local to its file'
    for n in 2 3 4 6; do
        exits 1 vial query "Out(In{n=$n})"
        contains "$stderr" "vial.lua:$((n + 5)): this table is a file's: a rule cannot change it"
    done
    exits 1 vial query 'Out(In{n=5})'
    contains "$stderr" "vial.lua:10: this table is a file's: a rule cannot sort it"
    for n in 7 8; do
        asks "Out(In{n=$n})" 'Out{x={0, "123ab", {3, 1, 2}, {"x", "y"}, "a", 3, 3}}'
    done
}

@test "graph --runtime shows what a query took, whether it ran or not" {
    greetings
    exits 0 vial graph --runtime --json --query 'Greeting(Name{value="x"})'
    same "$(jq -c '[.nodes[] | [.id, .name, .happening, .dependencies]]' <<<"$output")" \
        '[[0,"greet(Name{value=\"x\"})","ran",[1,2,3]],[1,"upper(Name{value=\"b\"})","ran",[]],[2,"upper(Name{value=\"c\"})","ran",[]],[3,"upper(Name{value=\"x\"})","ran",[]]]'
    same "$(jq -c '.nodes[1] | [keys_unsorted, .params, (.microseconds | type)]' <<<"$output")" \
        '[["id","name","params","happening","microseconds","dependencies"],["Name{value=\"b\"}"],"number"]'
    exits 0 vial graph --runtime --query 'Greeting(Name{value="x"})'
    same "$(printf '%s\n' "$output" | sed 's/, [0-9.]* ms)/)/')" 'greet(Name{value="x"})  (memoized)
    upper(Name{value="b"})
    upper(Name{value="c"})
    upper(Name{value="x"})
upper(Name{value="b"})  (memoized)
upper(Name{value="c"})  (memoized)
upper(Name{value="x"})  (memoized)'
    exits 0 vial graph --runtime --dot --query 'Greeting(Name{value="x"})'
    contains "$output" 'n0 -> n3;'
    contains "$output" '[shape=box, label="greet(Name{value=\"x\"})\nmemoized, '
    exits 2 vial graph --runtime
    exits 2 vial graph --runtime --query 'Greeting()' vial.lua
    exits 1 vial graph --runtime --query 'Greeting()'
}
