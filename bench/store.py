# SPDX-License-Identifier: Apache-2.0
"""Putting, putting again and materialising trees against cp, git and nettle's own SHA-256.

Goals: put, cold and durable, <= 1.3 x cp -r and sync; capture again (what every run begins with) faster
than git status; get <= 2 x cp -r; hashing >= 0.8 x nettle per core. The large tree is linux-source-6.1 (apt-get install it), or
what VIAL_BENCH_TREE names; VIAL_BENCH_ROUNDS sets the rounds (3)."""
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

from measure import Retired, compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
SOURCE = "/usr/src/linux-source-6.1.tar.xz"
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3))


def remove(*paths):
    def prepare():
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
    return prepare


def run(argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout.strip()


def large_tree(root):
    path = os.path.join(root, "large")
    if "VIAL_BENCH_TREE" in os.environ:
        run(["cp", "-r", os.environ["VIAL_BENCH_TREE"], path])
    elif os.path.exists(SOURCE):
        with tarfile.open(SOURCE) as archive:
            archive.extractall(path)
    else:
        print(f"\nno large tree: {SOURCE} is missing and VIAL_BENCH_TREE unset")
        return None
    for directory, _, files in os.walk(path):  # one that ignores everything would spare git its work
        if ".gitignore" in files:
            os.remove(os.path.join(directory, ".gitignore"))
    return path


def small_tree(root, count):
    path = os.path.join(root, f"small-{count}")
    for i in range(count):
        directory = os.path.join(path, f"d{i // 100:04}")
        if i % 100 == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, f"f{i:06}"), "w") as file:
            file.write(f"content of {i}\n" * 200)
    return path


def put(root, tree, retired):
    store, copy, git = (os.path.join(root, name) for name in ("store", "copy", "git"))
    vial = {"env": dict(os.environ, VIAL_STORE=store)}
    remove = retired.take
    work = {"env": dict(os.environ, GIT_DIR=git, GIT_WORK_TREE=tree, GIT_CONFIG_GLOBAL="/dev/null")}

    def new_repository():
        remove(git)()
        run(["git", "init", "-q"], **work)

    candidates = {
        "cp -r, sync": (remove(copy), ["sh", "-c", f"cp -r {tree} {copy} && sync -f {copy}"], {}),
        "git add": (new_repository, ["git", "add", "-A"], work),
        "vial store put": (remove(store), [VIAL, "store", "put", tree], vial),
    }
    table("put a large tree, cold store", compare(candidates, ROUNDS), "cp -r, sync")
    remove(copy)()
    inside = {"cwd": tree, "env": vial["env"]}
    candidates = {
        "git status": (None, ["git", "status", "--short"], work),
        "git add": (None, ["git", "add", "-A"], work),
        "vial store put": (None, [VIAL, "store", "put", tree], vial),
        "vial run --dry-run true": (None, [VIAL, "run", "--dry-run", "true"], inside),
    }
    table("put it again, or look only: unchanged", compare(candidates, ROUNDS * 5), "git status")
    remove(git, store)()


def get(root, tree, title, rounds, retired):
    store, copy, made = (os.path.join(root, name) for name in ("store", "copy", "made"))
    remove = retired.take
    vial = {"env": dict(os.environ, VIAL_STORE=store)}
    digest = run([VIAL, "store", "put", tree], **vial)
    candidates = {
        "cp -r": (remove(copy), ["cp", "-r", tree, copy], {}),
        "vial store get": (remove(made), [VIAL, "store", "get", digest, made], vial),
    }
    table(f"materialise {title}", compare(candidates, rounds), "cp -r")
    run(["diff", "-r", "--no-dereference", tree, made])
    remove(copy, made, store)()


def hashing():
    """On tmpfs, one file, one thread: what is left is the hash and the copy into the store."""
    root = tempfile.mkdtemp(prefix="vial-bench-", dir="/dev/shm")
    try:
        path, store = os.path.join(root, "file"), os.path.join(root, "store")
        with open(path, "wb") as file:
            for _ in range(256):
                file.write(os.urandom(1 << 20))
        candidates = {
            "nettle-hash -a sha256": (None, ["nettle-hash", "-a", "sha256", path], {}),
            "vial store put": (remove(store), [VIAL, "store", "put", path],
                               {"env": dict(os.environ, VIAL_STORE=store)}),
        }
        table("hash 256 MiB into the store", compare(candidates, ROUNDS), "nettle-hash -a sha256")
    finally:
        shutil.rmtree(root)


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    try:
        print(machine(root))
        retired = Retired(root)
        if shutil.which("nettle-hash"):
            hashing()
        else:
            print("\nno hashing: nettle-hash is missing (apt-get install nettle-bin)")
        for count, rounds in ((100, ROUNDS * 20), (10_000, ROUNDS)):
            get(root, small_tree(root, count), f"{count} files", rounds, retired)
        large = large_tree(root)
        if large:
            put(root, large, retired)
            get(root, large, "a large tree", ROUNDS, retired)
    finally:
        shutil.rmtree(root)


main()
