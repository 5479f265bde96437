#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real programs do in a view what they do outside: each runs natively and in a view at the same
# path, and what both leave is compared byte for byte.

load helper

TEST_SECONDS=600

# manifest DIRECTORY: kind, mode, links, size and target of everything; contents; attributes.
manifest() {
    (
        cd "$1" || exit 1
        find . -mindepth 1 \( -type d -printf '%P %y %m\n' -o -printf '%P %y %m %n %s %l\n' \) |
            sort
        find . -type f -print0 | sort -z | xargs -0r sha256sum
        find . -mindepth 1 -print0 | sort -z | xargs -0r getfattr --absolute-names -hd
    )
}

# holes DIRECTORY: files that take less room than their size.
holes() {
    find "$1" -type f -size +64k -printf '%P %b %s\n' | awk '$2 * 512 < $3 / 2 { print $1 }' | sort
}

# both COMMAND…: in a fresh copy of start/ natively, then in a view; leaves native/ and view/. What
# they print goes to native.out and view.out, in a view without what vial itself says.
both() {
    local side
    for side in native view; do
        rm -rf place
        cp -a start place
        if [[ $side == native ]]; then
            (cd place && "$@") >native.out 2>errors || fail "natively:" "$(cat native.out errors)"
        else
            vial run --view -C place -- "$@" >view.out 2>errors ||
                fail "in a view:" "$(cat view.out errors)"
        fi
        mv place "$side"
    done
}

# alike [EXCLUDED…]: both sides, but for files of these names.
alike() {
    local side name
    for side in native view; do
        for name; do
            find "$side" -name "$name" -prune -exec rm -rf {} +
        done
        manifest "$side" >"$side.manifest"
    done
    diff native.manifest view.manifest
}

googletest() {
    mkdir start
    cp -r /usr/src/googletest/googletest start/googletest
    both bash -c "cmake -G '$1' -S googletest -B out -DCMAKE_BUILD_TYPE=Debug >/dev/null &&
        cmake --build out -j 2"
    [[ -s view/out/lib/libgtest.a ]]
    cp -a view built
    # What these hold is times, temporary names and, in Makefile2, an order by address.
    alike Makefile2 .ninja_log .ninja_deps '*.log' TargetDirectories.txt CMakeScratch CMakeConfigureLog.yaml
}

@test "a build of googletest by cmake and make" {
    googletest 'Unix Makefiles'
}

@test "a build of googletest by cmake and ninja, which then finds nothing to do" {
    googletest Ninja
    mv built place
    contains "$(ninja -C place/out)" 'no work to do'
}

@test "git clones, commits, and finds the result clean" {
    mkdir start
    export GIT_AUTHOR_DATE='2020-01-02 03:04:05 +0000' GIT_COMMITTER_DATE='2020-01-02 03:04:05 +0000'
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c \
        GIT_COMMITTER_EMAIL=c@d
    git init -q -b main start/origin
    for i in $(seq 40); do seq "$i" >"start/origin/file$i"; done
    git -C start/origin add . && git -C start/origin commit -qm first
    # shellcheck disable=SC2016 # the inner shell expands it
    both bash -c 'git clone -q origin clone && cd clone && echo more >>file3 && rm file4 &&
        git mv file5 moved && git status --porcelain && git commit -qam second &&
        git status --porcelain && git log --format=%H && git gc -q && git fsck --strict 2>&1'
    diff native.out view.out
    same "$(git -C view/clone rev-parse HEAD)" "$(git -C native/clone rev-parse HEAD)"
    same "$(git -C view/clone status --porcelain)" ''
    alike index '*.idx' '*.rev' logs
}

@test "tar and rsync keep hard links, holes, attributes, modes and times" {
    mkdir -p start/tree/deep/er
    cd start/tree
    seq 1000 >file && ln file linked && ln -s deep/er to && ln -s nowhere dangling
    truncate -s 1M holes && echo end >>holes && chmod 640 file && chmod 700 deep
    setfattr -n user.note -v one file && setfattr -n user.note -v two deep
    mkfifo fifo && printf x >$'new\nline'
    cd ../..
    # A view has a clock of its own for what is on the host; a time that is set there is kept.
    both bash -c 'touch -d "2001-02-03 04:05:06" tree/file tree/deep/er && tar --xattrs -Scf tree.tar tree && mkdir out && tar --xattrs -C out -xf tree.tar &&
        rsync -aHXS tree/ copy/ && rsync -aHXS --itemize-changes tree/ copy/ && rm tree.tar'
    diff native.out view.out
    alike
    same "$(holes view)" "$(holes native)"
    for path in out/tree/file copy/file out/tree/deep/er copy/deep/er; do
        same "$(date -u -r "view/$path" +%FT%T)" "$(date -u -r "native/$path" +%FT%T)"
    done
    same "$(stat -c %i view/copy/file)" "$(stat -c %i view/copy/linked)"
}

@test "python makes a virtual environment that works" {
    mkdir start
    both python3 -m venv --without-pip env
    alike
    mv view place
    same "$(place/env/bin/python -c 'import sys; print(sys.prefix)')" "$WORK/place/env"
}

@test "npm installs a local tarball and runs what it set up" {
    mkdir -p start/package/lib start/app
    cd start
    echo '{ "name": "sample", "version": "1.2.3", "bin": { "sample": "lib/cli.js" },
        "scripts": { "postinstall": "node lib/after.js" } }' >package/package.json
    printf '#!/usr/bin/env node\nconsole.log(require("fs").readFileSync(__dirname + "/made", "utf8"))\n' \
        >package/lib/cli.js
    echo 'require("fs").writeFileSync(__dirname + "/made", "by a script")' >package/lib/after.js
    tar -czf sample.tgz package
    echo '{ "name": "app", "version": "1.0.0" }' >app/package.json
    cd "$WORK"
    both bash -c 'cd app && npm install --silent --offline --no-audit --no-fund ../sample.tgz &&
        node_modules/.bin/sample'
    same "$(<view.out)" 'by a script'
    diff native.out view.out
    alike
}

@test "a configure script of binutils finds out the same" {
    local from=binutils-2.40 source=(/usr/src/binutils/binutils-*.tar.xz)
    from=$(basename "${source[0]}" .tar.xz)
    mkdir start
    tar -C start --strip-components=1 -xf "${source[0]}" "$from"/{libiberty,include,config.guess} \
        "$from"/{config.sub,config-ml.in,install-sh,move-if-change,mkinstalldirs}
    both bash -c 'mkdir out && cd out && ../libiberty/configure && make -j 2 libiberty.a'
    [[ -s view/out/libiberty.a ]]
    # Its log has times, temporary names and process ids.
    alike config.log
}
