#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# vial store: files and trees in and out, operations on trees, verification.
load helper

sample() {
    mkdir -p "$1/sub/empty"
    echo one >"$1/one"
    printf '#!/bin/sh\n' >"$1/sub/tool"
    chmod +x "$1/sub/tool"
    ln -s ../one "$1/sub/link"
    echo odd >"$1/"$'a b\nc'
}

@test "put and get give the same tree, and the digest does not depend on the place" {
    sample a
    sample ../b
    digest=$(vial store put a)
    same "$(vial store put ../b)" "$digest"
    vial store get "$digest" ../c
    diff -r --no-dereference a ../c
    [[ -x ../c/sub/tool && -d ../c/sub/empty ]]
    same "$(readlink ../c/sub/link)" ../one
    same "$(vial store put ../c)" "$digest"
}

@test "the empty tree is the digest of nothing" {
    mkdir empty
    same "$(vial store put empty)" e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0
}

@test "a file is its content's digest" {
    echo hello >file
    digest=$(vial store put file)
    same "$digest" "$(sha256sum <file | cut -d' ' -f1)/6"
    same "$(vial store cat "$digest")" hello
    vial store get "$digest" ../copy
    cmp file ../copy
}

@test "get does not overwrite without --force" {
    sample a
    digest=$(vial store put a)
    mkdir ../c
    echo mine >../c/one
    exits 1 vial store get "$digest" ../c
    contains "$stderr" one
    same "$(ls -A ../c)" one
    same "$(cat ../c/one)" mine
    exits 0 vial store get --force "$digest" ../c
    same "$(cat ../c/one)" one
}

@test "trees are combined without touching files" {
    mkdir a b
    echo 1 >a/x
    echo 2 >b/y
    a=$(vial store put a)
    b=$(vial store put b)
    both=$(vial store merge "$a" "$b")
    same "$(vial store ls "$both" | awk '{print $3}')" $'x\ny'
    same "$(vial store subset "$both" 'x')" "$a"
    same "$(vial store subset "$both" '*' '!y')" "$a"
    deep=$(vial store add-prefix "$a" p/q)
    same "$(vial store remove-prefix "$deep" p/q)" "$a"
    same "$(vial store merge "$a" "$a")" "$a"
    exits 1 vial store remove-prefix "$both" x
    exits 1 vial store diff "$a" "$both"
    contains "$output" y
    exits 0 vial store diff "$a" "$a"
}

@test "a merge names every conflict" {
    mkdir a b
    echo 1 >a/x
    echo 2 >b/x
    echo 3 >a/y
    mkdir b/y
    echo same >a/z
    echo same >b/z
    chmod +x b/z
    a=$(vial store put a)
    b=$(vial store put b)
    exits 1 vial store merge "$a" "$b"
    contains "$stderr" x
    contains "$stderr" y
    contains "$stderr" z
    contains "$stderr" "$(sha256sum <a/x | cut -c1-64)"
    contains "$stderr" "$(sha256sum <b/x | cut -c1-64)"
}

@test "what a tree cannot hold is an error that names the path" {
    mkdir a
    mkfifo a/pipe
    exits 1 vial store put a
    contains "$stderr" pipe
    rm a/pipe
    touch a/$'bad\377name'
    exits 1 vial store put a
    contains "$stderr" bad
}

@test "a second put of an unchanged tree reads no file" {
    sample a
    sleep 0.1 # past the racy window of files that were just written
    vial store put a
    traced -f -e trace=openat,openat2,open -o ../trace "$VIAL" store put a
    [[ $(grep -cE '"(one|tool)"' ../trace) == 0 ]] || fail "$(grep -E '"(one|tool)"' ../trace)"
}

@test "an edit of the same size right after a put is seen" {
    for i in 1 2 3 4 5 6 7 8 9; do
        echo "$i" >file
        same "$(vial store put file)" "$(sha256sum <file | cut -d' ' -f1)/2"
        mkdir -p d
        echo "$i" >d/file
        digest=$(vial store put d)
        same "$(vial store ls "$digest" | awk '{print $2}')" "$(sha256sum <d/file | cut -d' ' -f1)/2"
    done
}

@test "verify finds a flipped bit, --repair removes it, and the run happens again" {
    miss sh -c 'head -c 300000 /dev/zero >out'
    exits 0 vial store verify
    object=$(find "$VIAL_STORE/objects" -type f | head -1)
    chmod u+w "$object"
    printf X | dd of="$object" bs=1 seek=1000 conv=notrunc status=none
    rm out
    miss sh -c 'head -c 300000 /dev/zero >out'
    cmp out <(head -c 300000 /dev/zero)
    object=$(find "$VIAL_STORE/objects" -type f | head -1)
    chmod u+w "$object"
    printf X | dd of="$object" bs=1 seek=1000 conv=notrunc status=none
    exits 1 vial store verify
    exits 0 vial store verify --repair
    exits 0 vial store verify
}

@test "usage errors exit with 2" {
    exits 2 vial store
    exits 2 vial store no-such-command
    exits 2 vial store put
    exits 2 vial store cat nonsense
    exits 1 vial store cat "$(printf '0%.0s' $(seq 64))/5"
    exits 2 vial no-such-command
}
