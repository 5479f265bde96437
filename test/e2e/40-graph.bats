#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial graph: from a file of rules to a graph, or to what is wrong with them.
load helper

# rules LINE…: the rules that the next commands are about.
rules() {
    printf '%s\n' "$@" >rules.lua
}

# graph STATUS ARGUMENT…: `vial graph rules.lua --json ARGUMENT…`, checked against the shape of its JSON.
graph() {
    local expected=$1
    shift
    exits "$expected" vial graph rules.lua --json "$@"
    same "$stderr" ""
    jq -e '
        def names: type == "array" and all(.[]; type == "string");
        def report: keys_unsorted == ["kind","output","node","file","line","candidates","message"]
            and (.line | type == "number") and (.message | type == "string") and (.candidates | names);
        if .ok then
            keys_unsorted == ["ok","nodes","warnings"] and all(.warnings[]; report)
            and [.nodes[].id] == [range(.nodes | length)]
            and (.nodes | length) as $count | all(.nodes[];
                keys_unsorted == ["id","kind","name","output","params","dependencies"]
                and (.kind | IN("query", "rule", "param")) and (.params | names and . == sort)
                and all(.dependencies[];
                    keys_unsorted == ["output","provides","node"] and .node < $count
                    and (.provides | names and . == sort)))
        else keys_unsorted == ["ok","errors"] and all(.errors[]; report) end' <<<"$output" >shape ||
        fail "another shape than documented" "$(show)"
}

# kinds: the kinds of the errors.
kinds() {
    jq -r '[.errors[].kind] | join(" ")' <<<"$output"
}

# source_of NODE OUTPUT: names of the nodes that make OUTPUT for the nodes called NODE.
source_of() {
    jq -r --arg name "$1" --arg output "$2" '.nodes as $nodes | [.nodes[] | select(.name == $name)
        | .dependencies[] | select(.output == $output) | $nodes[.node].name] | unique | join(" ")' <<<"$output"
}

greet() {
    rules 'local Name = record "Name" { "value" }' 'local Greeting = record "Greeting" { "text" }' \
        'rule "greet" { output = "Greeting", params = { "Name" }, gets = { { "ProcessResult", "Process" } },' \
        '  run = function(name) local r = get("ProcessResult", Process { argv = { "echo", name.value } });' \
        '    return Greeting { text = r.stdout } end }' \
        'query { output = "Greeting", params = { "Name" } }'
}

@test "the example of the manual, byte by byte" {
    greet
    graph 0
    same "$output" '{"ok":true,"nodes":[{"id":0,"kind":"query","name":"Greeting","output":"Greeting","params":["Name"],"dependencies":[{"output":"Greeting","provides":[],"node":1}]},{"id":1,"kind":"rule","name":"greet","output":"Greeting","params":["Name"],"dependencies":[{"output":"Name","provides":[],"node":3},{"output":"ProcessResult","provides":["Process"],"node":2}]},{"id":2,"kind":"rule","name":"vial.process","output":"ProcessResult","params":["Process"],"dependencies":[{"output":"Process","provides":[],"node":4}]},{"id":3,"kind":"param","name":"Name","output":"Name","params":["Name"],"dependencies":[]},{"id":4,"kind":"param","name":"Process","output":"Process","params":["Process"],"dependencies":[]}],"warnings":[]}'
}

@test "text and dot" {
    greet
    exits 0 vial graph rules.lua
    same "$output" 'query Greeting(Name)
    Greeting <- greet(Name)
greet(Name): Greeting
    Name <- the param
    ProcessResult for Process <- vial.process(Process)
vial.process(Process): ProcessResult
    Process <- the param'
    exits 0 vial graph --dot rules.lua
    contains "$output" 'digraph rules {'
    contains "$output" 'n1 -> n2 [label="Process"];'
}

@test "a param that a rule takes is out of scope below it, while two gets may both use one" {
    rules 'rule "y" { output = "Y", params = { "A" }, gets = { { "B", "C" } } }' \
        'rule "b" { output = "B", params = { "A", "C" } }' \
        'query { output = "Y", params = { "A" } }'
    graph 1
    same "$(kinds)" no_source
    contains "$output" 'rule \"y\" above takes A as a param'
    rules 'rule "y" { output = "Y", gets = { { "B", "C" }, { "A2", "C" } } }' \
        'rule "b" { output = "B", params = { "A", "C" } }' 'rule "a2" { output = "A2", params = { "A", "C" } }' \
        'query { output = "Y", params = { "A" } }'
    graph 0
    same "$(jq -c '.nodes[] | select(.name == "y") | .params' <<<"$output")" '["A"]'
}

@test "whoever answers a get uses what the get provides" {
    rules 'rule "z" { output = "Z", gets = { { "A", "B" } } }' 'rule "a" { output = "A", params = { "C" } }' \
        'query { output = "Z", params = { "C" } }'
    graph 1
    same "$(kinds)" no_source
    contains "$output" 'does not'
    rules 'rule "z" { output = "Z", gets = { { "A", "B" } } }' 'rule "a" { output = "A", params = { "C" } }' \
        'rule "a2" { output = "A", params = { "B", "C" } }' 'query { output = "Z", params = { "C" } }'
    graph 0
    same "$(source_of z A)" a2
}

@test "one rule is there twice where its inputs come from two rules" {
    rules 'rule "x" { output = "X", gets = { { "D" } } }' 'rule "d1" { output = "D", params = { "A", "B" } }' \
        'rule "d2" { output = "D", params = { "B", "C" } }' \
        'query { output = "X", params = { "A", "B" } }' 'query { output = "X", params = { "B", "C" } }'
    graph 0
    same "$(jq -c '[.nodes[] | select(.name == "x") | .params]' <<<"$output")" '[["A","B"],["B","C"]]'
    same "$(source_of x D)" "d1 d2"
}

@test "two rules that use equally many params are an error that names both" {
    rules 'rule "x" { output = "X", gets = { { "D" } } }' 'rule "d1" { output = "D", params = { "A" } }' \
        'rule "d2" { output = "D", params = { "B" } }' 'rule "d3" { output = "D", params = { "A", "B" } }' \
        'query { output = "X", params = { "A", "B" } }'
    graph 1
    same "$(kinds)" ambiguous
    same "$(jq -c '.errors[0].candidates' <<<"$output")" '["d1","d2"]'
    for name in D x d1 d2; do
        contains "$(jq -r '.errors[0].message' <<<"$output")" "$name"
    done
}

@test "fewer params win; a param is no answer to a get; Get(A, A) is legal; recursion is, too" {
    rules 'rule "a" { output = "A", params = { "A" } }' 'rule "r" { output = "R", gets = { { "A", "A" } } }' \
        'rule "x0" { output = "X" }' 'rule "x1" { output = "X", params = { "P" } }' \
        'rule "s" { output = "S", params = { "X" } }' \
        'rule "fib" { output = "F", params = { "N" }, gets = { { "F", "N" } } }' \
        'query { output = "R" }' 'query { output = "S", params = { "P" } }' \
        'query { output = "F", params = { "N" } }'
    graph 0
    same "$(source_of r A)" a
    same "$(source_of a A)" A
    same "$(source_of s X)" x0
    same "$(source_of fib F)" fib
}

@test "the order of params and of declarations changes nothing, and params = {} is none" {
    rules 'query { output = "T", params = { "A", "B" } }' 'rule "t" { output = "T", params = { "A", "B" }, gets = { { "U" } } }' \
        'rule "u" { output = "U", params = {} }'
    graph 0
    jq -c 'del(.nodes[].dependencies)' <<<"$output" >one
    rules 'rule "u" { output = "U" }' 'rule "t" { output = "T", params = { "B", "A" }, gets = { { "U", {} } } }' \
        'query { output = "T", params = { "B", "A", "B" } }'
    graph 0
    jq -c 'del(.nodes[].dependencies)' <<<"$output" >other
    cmp one other
    graph 0 --query 'T(B,A)'
    graph 0 --query ' T ( A, B ) '
}

@test "--query prints one part, numbered anew, and says which query is near" {
    greet
    printf '%s\n' 'rule "other" { output = "Other" }' 'query { output = "Other" }' >>rules.lua
    graph 0 --query 'Other()'
    same "$(jq -c '[.nodes[] | [.id, .kind, .name]]' <<<"$output")" '[[0,"query","Other"],[1,"rule","other"]]'
    graph 0 --query Other
    graph 1 --query 'Greeting(Name, Other)'
    same "$(kinds)" undeclared_query
    same "$(jq -c '.errors[0] | [.output, .node, .file, .candidates]' <<<"$output")" \
        '["Greeting","Greeting(Name, Other)","rules.lua",["Greeting(Name)"]]'
    graph 1 --query 'Nothing(Name)'
    same "$(kinds)" undeclared_query
    exits 2 vial graph rules.lua --query 'Greeting('
    contains "$stderr" 'is not a query such as T(A, B)'
}

@test "--query of a good query is good though others are not" {
    rules 'rule "a" { output = "A" }' 'query { output = "A" }' 'query { output = "B" }'
    graph 1
    same "$(kinds)" no_rule
    graph 0 --query 'A()'
    same "$(jq -c '.warnings' <<<"$output")" '[]'
    graph 1 --query 'B()'
}

@test "every kind of error in one run, sorted, with place, types and rules" {
    rules 'rule "dup" { output = "A" }' 'rule "dup" { output = "B" }' \
        'rule "n" { output = "N", gets = { { "M" } } }' 'rule "p" { output = "P", params = { "Q" } }' \
        'rule "x" { output = "X", gets = { { "D" } } }' 'rule "d1" { output = "D" }' 'rule "d2" { output = "D" }' \
        'query { output = "N" }' 'query { output = "P" }' 'query { output = "X" }'
    graph 1
    same "$(jq -c '[.errors[] | [.line, .kind, .output, .node]]' <<<"$output")" \
        '[[2,"duplicate_rule","A","dup"],[3,"no_rule","M","n"],[4,"no_source","Q","p"],[5,"ambiguous","D","x"]]'
    contains "$(jq -r '.errors[0].message' <<<"$output")" 'at rules.lua:1 and at rules.lua:2'
    exits 1 vial graph rules.lua
    same "$output" ""
    contains "$stderr" 'rules.lua:3: '
    contains "$stderr" 'rules.lua:5: '
}

@test "a rule that nothing uses is a warning, on stderr or in the JSON" {
    rules 'rule "a" { output = "A" }' 'rule "b" { output = "B" }' 'query { output = "A" }'
    graph 0
    same "$(jq -c '[.warnings[] | [.kind, .node, .line]]' <<<"$output")" '[["unused_rule","b",2]]'
    exits 0 vial graph rules.lua
    contains "$stderr" 'rules.lua:2: warning: rule "b", which returns B, is used by no query'
}

@test "a broken file is named with its line, and the rest is loaded" {
    mkdir sub
    printf '%s\n' 'rule "a" { output = "A" }' 'x = = 1' >sub/broken.lua
    printf '%s\n' 'record "R" {}' 'record "R" {}' >sub/twice.lua
    rules 'include "sub/broken.lua"' 'include "sub/twice.lua"' 'include "sub/gone.lua"' \
        'rule "b" { output = "B", parms = {} }' 'query { output = "C" }'
    graph 1
    same "$(jq -c '[.errors[] | [.kind, .file, .line]]' <<<"$output")" \
        '[["load","rules.lua",3],["load","rules.lua",4],["no_rule","rules.lua",5],["load","sub/broken.lua",2],["load","sub/twice.lua",2]]'
    cd sub
    exits 1 vial graph ../rules.lua
    contains "$stderr" '../sub/broken.lua:2: '
    contains "$stderr" 'record "R" is declared twice: at ../sub/twice.lua:1 and at ../sub/twice.lua:2'
    exits 1 vial graph "$WORK/gone.lua"
    contains "$stderr" "$WORK/gone.lua"
    contains "$stderr" "No such file"
}

@test "a runaway file is stopped" {
    rules 'while true do pcall(function() while true do end end) end'
    exits 1 vial graph rules.lua
    same "$stderr" 'rules.lua:1: stopped: too many instructions; is there an endless loop?'
    rules 'local s = ("a"):rep(200)' 's:find(("a-"):rep(40) .. "b")'
    exits 1 vial graph rules.lua
    same "$stderr" 'rules.lua:2: stopped: too many instructions; is there an endless loop?'
    rules 'local t = {}' 'for i = 1, 1e9 do t[i] = { i } end'
    exits 1 vial graph rules.lua
    contains "$stderr" 'stopped: too m'
    mkfifo fifo.lua
    exits 1 vial graph fifo.lua
    contains "$stderr" 'not a regular file'
}

@test "misuse" {
    exits 2 vial graph
    exits 2 vial graph a.lua b.lua
    rules ''
    exits 2 vial graph --json rules.lua --dot
    exits 0 vial graph -- rules.lua
}
