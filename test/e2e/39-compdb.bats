#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial compdb: compile_commands.json from what runs have on record.
load helper
OBSERVED=1

project() {
    mkdir -p src
    echo 'int f(void) { return 1; }' >src/f.c
    echo 'int f(void); int main(void) { return f(); }' >main.c
}

# entries: "file output" of each, sorted.
entries() {
    jq -r '.[] | .file + " " + .output' compile_commands.json | sort
}

@test "a makefile's compilations are on record, whoever ran them and where" {
    project
    # shellcheck disable=SC2016 # make expands it
    printf 'all: main.o\n\t$(MAKE) -C src\n\tcc -o main main.o src/f.o\nmain.o: main.c\n\tgcc -DX="a b" -c main.c\n' >Makefile
    printf 'f.o: f.c\n\tcc -O1 -I .. -c -o f.o f.c\n' >src/Makefile
    vial run make
    exits 0 vial compdb
    same "$(entries)" $'f.c f.o\nmain.c main.o'
    same "$(jq -c 'sort_by(.file)[0] | [.directory, .arguments]' compile_commands.json)" \
        "[\"$PWD/src\",[\"cc\",\"-O1\",\"-I\",\"..\",\"-c\",\"-o\",\"f.o\",\"f.c\"]]"
    same "$(jq -c 'sort_by(.file)[1].arguments[1]' compile_commands.json)" '"-DX=a b"'
}

@test "a build of a part adds to what is known, and a source that is gone leaves" {
    project
    vial run cc -c main.c
    vial run cc -c -o src/f.o src/f.c
    vial run cc -O2 -c main.c
    exits 0 vial compdb -o -
    same "$(jq -c 'sort_by(.file) | map([.file, (.arguments | length)])' <<<"$output")" \
        '[["main.c",4],["src/f.c",5]]'
    exits 0 vial compdb -o - @2
    same "$(jq -r '.[].file' <<<"$output")" main.c
    rm main.c
    exits 0 vial compdb -o -
    same "$(jq -r '.[].file' <<<"$output")" src/f.c
}

@test "what only preprocesses or links is no compilation, a run without one is an error" {
    project
    exits 1 vial compdb
    vial run sh -c 'cc -E main.c >/dev/null; cc -M main.c >/dev/null'
    exits 1 vial compdb
    contains "$stderr" 'no recorded run'
    exits 2 vial compdb @9
    vial run cc -o main main.c src/f.c
    exits 0 vial compdb
    same "$(entries)" $'main.c main\nsrc/f.c main'
    vial run --canonical cc -c src/f.c
    exits 0 vial compdb @0
    same "$(jq -r '.[].directory' compile_commands.json)" "$PWD"
}

@test "CMake's own database and ours name the same files and commands" {
    command -v cmake >/dev/null || skip 'no cmake'
    project
    printf 'cmake_minimum_required(VERSION 3.18)\nproject(p C)\nadd_library(f STATIC src/f.c)\nadd_executable(m main.c)\ntarget_link_libraries(m f)\n' >CMakeLists.txt
    vial run sh -c 'cmake -S . -B b -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null && make -C b >/dev/null'
    exits 0 vial compdb
    local files='[.[] | (.file | sub(".*/"; "")) + " " + (.output // "" | sub(".*/"; ""))] | sort'
    contains "$(jq -c "$files" compile_commands.json)" '"f.c f.c.o","main.c main.c.o"'
    local words='map(select(.file | endswith("main.c")))[0]'
    same "$(jq -r "$words.arguments[1:] | join(\" \") | sub(\"-MD -MT [^ ]* -MF [^ ]* \"; \"\")" compile_commands.json)" \
        "$(jq -r "$words.command | sub(\"^[^ ]* +\"; \"\") | gsub(\" +\"; \" \")" b/compile_commands.json)"
}
