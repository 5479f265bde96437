# SPDX-License-Identifier: Apache-2.0
"""What a run in a view costs over the same command outside: small programs, a configure script, a build;
as root and as a user, with and without pass-through; set-up by the size of the host tree; many at once.

Every view run is recorded and none is looked up, as in a first build (--refresh)."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from measure import compare, machine, table

VIAL = os.path.abspath(sys.argv[1])
ROUNDS = int(os.environ.get("VIAL_BENCH_ROUNDS", 3))
PARTS = set(sys.argv[2:]) or {"small", "configure", "build", "tree", "many"}
GOOGLETEST = "/usr/src/googletest"  # apt-get install googletest
USER = 65534


def as_user(root, argv):
    """As an ordinary user, to whom /dev/fuse is open as udev has it."""
    node = os.path.join(root, "fuse")
    if os.geteuid() != 0:
        return argv
    if not os.path.exists(node):
        subprocess.run(["mknod", "--mode=666", node, "c", "10", "229"], check=True)
    return ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /dev/fuse; exec "$@"', node, "setpriv",
            f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *argv]


class Place:
    """A workspace and a store, for root or for a user, who owns them."""

    def __init__(self, root, name, user):
        self.root, self.user = root, user
        self.work = os.path.join(root, name, "work")
        os.makedirs(self.work)
        open(os.path.join(self.work, "vial.lua"), "w").close()
        self.env = dict(os.environ, VIAL_STORE=os.path.join(root, name, "store"), HOME=os.path.join(root, name),
                        TMPDIR=os.path.join(root, name, "tmp"))
        os.makedirs(self.env["TMPDIR"])
        self.own()

    def own(self):
        if self.user and os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", os.path.dirname(self.work)], check=True)

    def candidate(self, prepare, options, command):
        argv = command if options is None else [self.vial(), "run", "--view", "--refresh", *options, "--", *command]
        argv = as_user(self.root, argv) if self.user else argv
        return prepare, argv, {"cwd": self.work, "env": self.env}

    def vial(self):
        return os.path.join(self.root, "vial")


MODES = {"native": None, "view": [], "view, plain reads": ["--plain"]}


def candidates(root, fill, prepare, command):
    found = {}
    for user in (False, True) if os.geteuid() == 0 else (True,):
        for mode, options in MODES.items():
            if user and os.geteuid() == 0 and mode == "view, plain reads":
                continue  # a user's reads are plain in any case
            name = f"{mode}, user" if user else mode
            place = Place(root, f"{len(os.listdir(root))}", user)
            fill(place.work)
            place.own()
            found[name] = place.candidate(prepare and (lambda at=place.work: prepare(at)), options, command)
    return found


def measured(title, root, fill, prepare, command, rounds):
    where = tempfile.mkdtemp(dir=root)
    os.chmod(where, 0o755)
    shutil.copy(VIAL, os.path.join(where, "vial"))
    samples = compare(candidates(where, fill, prepare, command), rounds)
    for against in [name for name in samples if name.startswith("native")]:
        user = against.endswith("user")
        table(title + (", an ordinary user" if user else ""),
              {name: sample for name, sample in samples.items() if name.endswith("user") == user}, against)
    shutil.rmtree(where)


def tiny(work):
    with open(os.path.join(work, "tiny.c"), "w") as file:
        file.write("#include <stdio.h>\nint main(void) { return puts(\"tiny\") < 0; }\n")


def small(root):
    measured("true", root, tiny, None, ["true"], ROUNDS * 7)
    measured("sed", root, tiny, None, ["sed", "s/tiny/small/", "tiny.c"], ROUNDS * 7)
    measured("gcc -c, a tiny file", root, tiny, None, ["gcc", "-c", "tiny.c"], ROUNDS * 7)


CHECKS = """AC_INIT([bench], [1])
AC_PROG_CC
AC_PROG_INSTALL
AC_CHECK_HEADERS([sys/mount.h poll.h pty.h util.h libutil.h paths.h stdint.h sys/dir.h ndir.h sys/ndir.h
  sys/tree.h bitstring.h curses.h glob.h inttypes.h termcap.h zlib.h utf8proc.h event2/event.h malloc.h])
AC_CHECK_FUNCS([dirfd flock prctl proc_pidinfo sysconf asprintf cfmakeraw clock_gettime closefrom err explicit_bzero
  fgetln freezero getdtablecount getline getprogname memmem reallocarray recallocarray setenv setproctitle strcasestr
  strlcat strlcpy strndup strsep strtonum unvis b64_ntop forkpty strerror_r tzset vfprintf wcwidth posix_spawn])
AC_CHECK_TYPES([ssize_t, socklen_t, intmax_t, struct timespec, sigset_t])
AC_CHECK_SIZEOF([long])
AC_CHECK_SIZEOF([void *])
AC_SEARCH_LIBS([ceil], [m])
AC_SEARCH_LIBS([dlopen], [dl])
AC_C_BIGENDIAN
AC_CONFIG_HEADERS([config.h])
AC_OUTPUT
"""


def configure(root):
    script = os.environ.get("VIAL_BENCH_CONFIGURE")
    made = os.path.join(root, "configure")
    os.makedirs(made)
    if script:
        shutil.copytree(os.path.dirname(script), made, dirs_exist_ok=True)
    elif shutil.which("autoconf") and shutil.which("autoheader"):
        with open(os.path.join(made, "configure.ac"), "w") as file:
            file.write(CHECKS)
        subprocess.run("autoheader && autoconf && echo 'exec cp \"$@\"' >install-sh && chmod +x install-sh",
                       shell=True, cwd=made, check=True)
    else:
        print("\nno configure script: autoconf is missing, and VIAL_BENCH_CONFIGURE is not set")
        return
    measured("./configure", root, lambda work: shutil.copytree(made, work, dirs_exist_ok=True), None,
             ["./configure"], ROUNDS)


def build(root):
    if not os.path.isdir(GOOGLETEST) or not shutil.which("cmake"):
        print("\nno build of googletest: googletest or cmake is missing")
        return

    def fill(work):
        shutil.copytree(GOOGLETEST, os.path.join(work, "googletest"))
        subprocess.run(["cmake", "-S", "googletest", "-B", "build"], cwd=work, check=True, capture_output=True)

    def clean(work):
        subprocess.run(["make", "-C", "build", "clean"], cwd=work, check=True, capture_output=True)

    measured("make -j2 of googletest", root, fill, clean, ["make", "-C", "build", "-j2"], ROUNDS)


def tree(root):
    """What lies in the workspace and is not asked for must cost nothing."""
    found = {}
    for count in (1000, 10000, 100000, 1000000)[: 3 + ("VIAL_BENCH_LARGE" in os.environ)]:
        place = Place(root, f"tree-{count}", False)
        for number in range(count):
            if number % 1000 == 0:
                directory = os.path.join(place.work, str(number // 1000))
                os.mkdir(directory)
            os.mknod(os.path.join(directory, str(number)), 0o100644)
        shutil.copy(VIAL, place.vial())
        found[f"{count:,} files"] = place.candidate(None, [], ["true"])
    table("true in a view over a workspace of", compare(found, ROUNDS * 5), "1,000 files")


def many(root):
    """How long 64 views take, one after the other and all at once."""
    place = Place(root, "many", False)
    shutil.copy(VIAL, place.vial())
    tiny(place.work)
    argv = [place.vial(), "run", "--view", "--no-cache", "--", "sed", "s/tiny/small/", "tiny.c"]
    options = {"cwd": place.work, "env": place.env, "stdout": subprocess.DEVNULL, "check": True}
    print(f"\n64 views\n  {'':36} {'wall ms':>10}")
    start = time.perf_counter()
    for _ in range(64):
        subprocess.run(argv, **options)
    print(f"  {'one after the other':36} {(time.perf_counter() - start) * 1e3:10.2f}")
    del options["check"]
    start = time.perf_counter()
    running = [subprocess.Popen(argv, **options) for _ in range(64)]
    if any(process.wait() for process in running):
        raise RuntimeError("a view failed")
    print(f"  {'all at once':36} {(time.perf_counter() - start) * 1e3:10.2f}")


def main():
    root = tempfile.mkdtemp(prefix="vial-bench-")
    os.chmod(root, 0o755)
    try:
        print(machine(root))
        for part in (small, configure, build, tree, many):
            if part.__name__ in PARTS:
                part(root)
    finally:
        shutil.rmtree(root)


main()
