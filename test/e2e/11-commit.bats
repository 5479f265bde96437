#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Outputs in the workspace: own outputs, the user's own changes, times, deletions.
load helper

@test "an output among the inputs counts as rolled back" {
    echo one >in
    miss sh -c 'cat in >>log'
    same "$(cat log)" one
    hit sh -c 'cat in >>log'
    same "$(cat log)" one
}

@test "a file that the user put where an output was is an input again" {
    echo one >in
    miss sh -c 'cat in >>log'
    echo mine >log
    miss sh -c 'cat in >>log'
    same "$(cat log)" $'mine\none'
    hit sh -c 'cat in >>log'
    same "$(cat log)" $'mine\none'
}

@test "what an earlier run left and this one does not make goes" {
    echo 'a b c' >list
    miss sh -c 'mkdir -p out; for i in $(cat list); do echo $i >out/$i; done'
    same "$(ls out)" $'a\nb\nc'
    echo 'a d' >list
    miss sh -c 'mkdir -p out; for i in $(cat list); do echo $i >out/$i; done'
    same "$(ls out)" $'a\nd'
    echo 'a b c' >list
    hit sh -c 'mkdir -p out; for i in $(cat list); do echo $i >out/$i; done'
    same "$(ls out)" $'a\nb\nc'
}

@test "a FIFO that the command made is no input of its next run" {
    miss mkfifo p
    inode=$(stat -c %i p)
    hit mkfifo p
    [[ -p p && $(stat -c %i p) == "$inode" ]]
    rm p
    hit mkfifo p
    [[ -p p ]]
}

@test "a FIFO that a command made in a view is a hit the second time" {
    # shellcheck disable=SC2034
    OBSERVED=1
    miss mkfifo p
    hit mkfifo p
    [[ -p p ]]
    rm p
    hit mkfifo p
    [[ -p p ]]
    echo >p.c
    rm p
    mkfifo mine
    miss sh -c 'ls; mkfifo p'
    hit sh -c 'ls; mkfifo p'
    rm mine p
    miss sh -c 'ls; mkfifo p'
}

@test "a FIFO in the place of an input, and in a directory of its own, is a hit the second time" {
    for outputs in '' '-o a -o b -o d -o o'; do
        rm -rf a b d o
        mkdir b
        echo 1 | tee a >b/f
        for result in miss hit; do
            # shellcheck disable=SC2086
            "$result" $outputs sh -c 'rm -r a b; mkfifo a b; mkdir -p d; mkfifo d/p; echo >o'
            [[ -p a && -p b && -p d/p && -f o ]]
        done
    done
}

@test "a FIFO that an earlier run left and this one does not make goes" {
    echo 'mkfifo p' >script
    miss sh script
    echo 'echo 1 >p' >script
    miss sh script
    same "$(cat p)" 1
    echo 'mkfifo p' >script
    hit sh script
    [[ -p p ]]
    echo 'true' >script
    miss sh script
    [[ ! -e p ]]
}

@test "a FIFO of the user's, or of another command, is an error that names it" {
    mkfifo mine
    run -125 vial run mkfifo p
    contains "$output" "$PWD/mine is a FIFO"
    exits 0 vial run -i . -i '!mine' true
    run -125 vial run -i mine true
    contains "$output" "-i mine is a FIFO"
    rm mine
    miss mkfifo p
    run -125 vial run true
    contains "$output" "$PWD/p is a FIFO"
    [[ -p p ]]
}

@test "deletions reach the workspace" {
    mkdir -p d/e
    echo 1 >d/e/f
    echo 2 >keep
    miss rm -r d
    [[ ! -e d && -e keep ]]
}

@test "declared outputs of an observed run take the place of what was there, and nothing else changes" {
    # shellcheck disable=SC2034
    OBSERVED=1
    for result in miss hit; do
        echo old >out
        mkdir -p dir
        echo old >dir/f
        echo mine >other
        "$result" -o out -o dir -- sh -c 'rm -r dir other; echo new >out; mkdir dir; echo new >dir/g'
        same "$stderr" ''
        same "$(cat out other)" $'new\nmine'
        same "$(ls dir)" g
        rm dir/g
    done
    echo old >out
    miss -o out -- rm out
    [[ ! -e out ]]
}

@test "a declared FIFO has appeared" {
    exits 0 vial run -o p -- mkfifo p
    same "$stderr" ''
    [[ -p p ]]
}

@test "a deletion spares what the user has put there" {
    mkdir d
    echo 1 >d/f
    miss rm d/f
    [[ ! -e d/f && -d d ]]
    echo new >d/f
    miss rm d/f
    [[ ! -e d/f ]]
}

@test "a file changed while the command ran is kept and reported" {
    echo old >out
    mkfifo ../ready
    "$VIAL" run --sealed --events "$EVENTS" -o out -- sh -c \
        'echo new >out; trap "exit 0" HUP; echo ready; while :; do sleep 0.05; done' >../ready 2>../messages &
    read -r line <../ready # the command has started, so capture is over
    same "$line" ready
    echo user >out
    kill -HUP $!
    wait $!
    same "$(cat out)" user
    contains "$(cat ../messages)" "kept your out"
    same "$(events "$EVENTS" conflict | jq -r .path)" out
}

@test "make says up to date afterwards, and unchanged outputs keep their time" {
    printf 'all: x\nx: x.o y.o\n\tcat x.o y.o >x\n%%.o: %%.c\n\tcp $< $@\n' >Makefile
    echo x >x.c
    echo y >y.c
    miss make
    exits 0 make -q
    before=$(stat -c %y x x.o y.o)
    hit make
    same "$(stat -c %y x x.o y.o)" "$before"
    y=$(stat -c %y y.o)
    echo x2 >x.c
    miss make
    same "$(stat -c %y y.o)" "$y"
    exits 0 make -q
    rm x.o x
    hit make
    exits 0 make -q
}

@test "make compiles again what a native build left behind and an edit made stale" {
    printf 'x: x.c y.o\n\tcc -o x x.c y.o\ny.o: y.c\n\tcc -c y.c\n' >Makefile
    printf 'int y(void);\nint main(void) { return y(); }\n' >x.c
    echo 'int y(void) { return 3; }' >y.c
    make
    exits 3 ./x
    echo 'int y(void) { return 4; }' >y.c
    miss make
    exits 4 ./x
    exits 0 make -q
    hit make
    exits 4 ./x
}

@test "--commit=success and never leave the workspace alone" {
    exits 3 vial run --commit=success -- sh -c 'echo x >x; exit 3'
    [[ ! -e x ]]
    exits 3 vial run --commit=always -- sh -c 'echo x >x; exit 3'
    [[ -e x ]]
    exits 0 vial run --commit=never -- sh -c 'echo y >y'
    [[ ! -e y ]]
}

@test "modes, links, hard links, empty directories and chosen times come back" {
    script='umask 022; echo a >a; chmod 600 a; echo b >b; chmod 755 b; ln b c; ln -s a l; mkdir -p e/f; touch -d 2010-01-01 old; chmod 700 e'
    state() {
        stat -c '%n %A %h %F' a b c l e e/f old
        stat -c %Y old
        readlink l
    }
    miss sh -c "$script"
    first=$(state)
    contains "$first" "-rw-------"
    rm -r a b c l e old
    hit sh -c "$script"
    same "$(state)" "$first"
}

@test "a declared output that does not appear is reported" {
    exits 0 vial run --events "$EVENTS" -o there -o nowhere -- touch there
    contains "$stderr" nowhere
    same "$(events "$EVENTS" missing | jq -r .path | tr -d /)" nowhere
}

@test "outputs that are not declared do not leave the sandbox" {
    miss -o out -- sh -c 'echo 1 >out; echo 2 >other'
    [[ -e out && ! -e other ]]
}

@test "a name that is not UTF-8 makes the result uncacheable, and says so" {
    miss sh -c 'echo x >"$(printf "\377")"'
    contains "$stderr" "not stored"
    miss sh -c 'echo x >"$(printf "\377")"'
}

@test "an output through a link that leads out of the workspace stays inside" {
    mkdir ../outside
    ln -s ../outside link
    run vial run -o link/x -- sh -c 'rm -f link; mkdir link; echo x >link/x'
    [[ ! -e ../outside/x ]]
}

@test "a file becomes a directory and back" {
    echo f >thing
    miss sh -c 'rm thing; mkdir thing; echo in >thing/in'
    same "$(cat thing/in)" in
    rm -r thing
    mkdir thing
    echo x >thing/x
    miss sh -c 'rm -r thing; echo f >thing'
    same "$(cat thing)" f
}

@test "a view commits what became of one name of a file, whatever happens to the others" {
    echo old >one
    ln one two
    ln one three
    vial run --view sh -c 'rm one; echo new >other; mv other two; mkdir dir; touch -d 2001-02-03 dir'
    [[ ! -e one ]]
    same "$(cat two three)" $'new\nold'
    same "$(date -r dir +%F)" 2001-02-03
    same "$(vial log --json | jq -r '.[0].result')" run
}

@test "a view commits names that are not UTF-8, and what is below them, though it cannot store them" {
    local odd=$'\xff'
    mkdir d moved && echo x >"d/$odd" && echo y >"moved/$odd" && echo z >"gone$odd"
    chmod 640 "d/$odd"
    # shellcheck disable=SC2016 # the inner shell expands it
    vial run --view bash -c 'echo more >>"d/$1"; mv moved "new$1"; rm "gone$1"; mkdir -p "e/$1/f"
        ln -s "$1" "e/$1/f/link"; mkfifo "e/$1/fifo"; touch -d 2001-02-03 "e/$1"' bash "$odd"
    same "$(cat "d/$odd" "new$odd/$odd")" $'x\nmore\ny'
    same "$(stat -c %a "d/$odd")" 640
    same "$(readlink "e/$odd/f/link")" "$odd"
    same "$(date -r "e/$odd" +%F)" 2001-02-03
    [[ -p e/$odd/fifo && ! -e gone$odd && ! -e moved ]]
}

@test "--commit decides for observed runs, too, and what they wrote elsewhere is named and dropped" {
    OBSERVED=1
    exits 3 vial run --commit=success -- sh -c 'echo x >x; exit 3'
    [[ ! -e x ]]
    exits 3 vial run --commit=always -- sh -c 'echo x >x; exit 3'
    same "$(cat x)" x
    exits 0 vial run --commit=never -- sh -c 'echo y >y'
    [[ ! -e y ]]
    exits 0 vial run -- sh -c 'echo y >y'
    same "$(cat y)" y
    exits 0 vial run -- sh -c 'for i in 1 2 3 4 5; do echo >/var/tmp/vial-dropped-$i; done'
    same "$stderr" 'vial: dropped what was written outside the workspace: /var/tmp/vial-dropped-1, /var/tmp/vial-dropped-2, /var/tmp/vial-dropped-3 and 2 more'
    [[ ! -e /var/tmp/vial-dropped-1 ]]
}
