# SPDX-License-Identifier: Apache-2.0
"""Interleaved measurements of whole processes: every round runs each candidate once, in turn, so that
what else the machine does falls on all alike; medians are compared, never means."""
import os
import platform
import re
import statistics
import time


def machine(path):
    """One line: processor, memory, kernel, and the file system that `path` lies on."""
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    best = ""
    for line in open("/proc/self/mounts"):
        _, place, kind, options, *_ = line.split()
        if os.path.realpath(path).startswith(place) and len(place) >= len(best):
            best, system = place, f"{kind} ({options})"
    return (f"{time.strftime('%F')}, {os.cpu_count()} x {model[1] if model else platform.machine()}, "
            f"{memory} GiB, Linux {platform.release()}, {system}")


class Retired:
    """Where results of earlier rounds go. Not removed before the end: ext4 without a journal walks past
    every inode that was freed in the last half minute whenever it makes a file, which would measure that."""

    def __init__(self, root):
        self.root, self.count = os.path.join(root, "retired"), 0
        os.makedirs(self.root)

    def take(self, *paths):
        def prepare():
            for path in paths:
                if os.path.lexists(path):
                    os.rename(path, os.path.join(self.root, str(self.count)))
                    self.count += 1
        return prepare


class Sample:
    def __init__(self):
        self.wall, self.cpu, self.rss = [], [], []

    def row(self):
        return statistics.median(self.wall), statistics.median(self.cpu), max(self.rss)


def spawn(argv, cwd=None, env=None, output=os.devnull):
    """Run argv to its end; (wall s, user+system s, peak resident bytes). A failure is an error."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY, 0),
               (os.POSIX_SPAWN_OPEN, 2, output, os.O_WRONLY, 0)]
    here = os.getcwd()
    if cwd:
        os.chdir(cwd)
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, env or os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    os.chdir(here)
    if status:
        raise RuntimeError(f"{argv} ended with status {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def compare(candidates, rounds):
    """candidates: {name: (prepare or None, argv, options)}; returns {name: Sample}."""
    samples = {name: Sample() for name in candidates}
    for number in range(rounds + 1):
        for name, (prepare, argv, options) in candidates.items():
            if prepare:
                prepare()
            wall, cpu, rss = spawn(argv, **options)
            if number:  # the first round warms caches
                samples[name].wall.append(wall)
                samples[name].cpu.append(cpu)
                samples[name].rss.append(rss)
    return samples


def table(title, samples, against, unit=1e3, suffix="ms"):
    """Medians, and how many times those of `against`."""
    base_wall, base_cpu, _ = samples[against].row()
    print(f"\n{title}")
    print(f"  {'':36} {'wall ' + suffix:>10} {'x':>7} {'cpu ' + suffix:>10} {'x':>7} {'peak MiB':>9}")
    for name, sample in samples.items():
        wall, cpu, rss = sample.row()
        cpu_ratio = f"{cpu / base_cpu:7.2f}" if base_cpu > 0 else f"{'':7}"
        print(f"  {name:36} {wall * unit:10.2f} {wall / base_wall:7.2f} {cpu * unit:10.2f} "
              f"{cpu_ratio} {rss / 2**20:9.1f}")
