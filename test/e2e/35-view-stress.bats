#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# stress-ng's stressors of file systems, several at a time in one view, for a bounded time. Left
# out: those that are about disks (hdd, io), devices, mounts and other file systems' ioctls.

load helper

: "${STRESS_SECONDS:=3}"

# stress NAME…: each checks what it gets (--verify); all end well and leave nothing behind.
stress() {
    local name arguments=()
    for name; do
        arguments+=("--$name" 1)
    done
    exits 0 vial run --view -- stress-ng --verify --temp-path . --timeout "$STRESS_SECONDS" \
        "${arguments[@]}"
    contains "$stderr$output" 'successful run completed'
    [[ $stderr$output != *'skipping stressor'* ]] || fail "$(show)"
    same "$(ls)" vial.lua
}

@test "names, links and directories" {
    stress dentry dir dirdeep dirmany filename getdent link rename symlink mknod
}

@test "attributes, modes and times" {
    stress access chdir chmod chown fstat handle touch utime xattr
}

@test "data, sizes and holes" {
    stress aio copy-file fallocate fpunch fsize iomix mmap readahead seek sendfile sync-file
}

@test "descriptors and locks" {
    stress dup fcntl flock locka lockf lockofd open
}
