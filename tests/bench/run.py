"""hoist beside crane, skopeo, regctl and oras, where these are on PATH: `make bench`.

The programs take turns, each with a registry of its own that is new and empty, so that a slow minute
of the machine hits them all. Medians are printed, and how they stand to the goals of `rows.py`.
"""

import argparse
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import machine
import measure
import own
import programs
import report
import rows
import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    options = parse()
    # So that servers and folders go when it is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not options.hoist:
        build = ["cargo", "build", "--quiet", "--locked", "--release", "--target-dir", ROOT / "target"]
        subprocess.run(build, cwd=ROOT, check=True)
        options.hoist = ROOT / "target" / "release" / "hoist"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hoist-bench-") as room:
        bench = Bench(options, options.images or pathlib.Path(room))
        bench.run()
    print(f"{time.monotonic() - started:.0f} s")
    if options.markdown:
        table = report.markdown(bench.measured, bench.judged, list(bench.peers))
        options.markdown.write_text("\n".join([*table, "", machine.described(), ""]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", nargs="?", choices=["full", "quick"], default="full")
    parser.add_argument("--runs", type=int, help="of each program and row: 5, quick 1")
    parser.add_argument("--large", type=int, help="MiB of the large layout: 1024, quick 128")
    parser.add_argument("--plain", type=int, help="MiB of the docker archive: 384, quick 64")
    parser.add_argument("--row", action="append", help="rows whose title this expression finds; repeatable")
    parser.add_argument("--hoist", type=pathlib.Path, help="this binary; nothing is built")
    parser.add_argument("--static", type=pathlib.Path, help="the static one: target/static/hoist")
    parser.add_argument("--images", type=pathlib.Path, help="a folder that keeps the images")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the table and the machine here")
    options = parser.parse_args()
    options.quick = options.mode == "quick"
    options.runs = options.runs or (1 if options.quick else 5)
    options.large = options.large or (128 if options.quick else 1024)
    options.plain = options.plain or (64 if options.quick else 384)
    if not options.static and (ROOT / "target" / "static" / "hoist").exists():
        options.static = ROOT / "target" / "static" / "hoist"
    return options


class Bench:
    def __init__(self, options, images):
        self.options, self.images = options, images
        self.storage = servers.storage(max(options.large, options.plain))
        self.peers = programs.peers()
        # Titles with costs by name, and with what became of each goal.
        self.measured, self.judged = [], []

    def run(self):
        groups = [rows for rows in self.groups() if any(map(self.wanted, map(self.title, rows)))]
        alone = [row for row in own.rows() if self.wanted(row[0])]
        sources = {self.name(row) for group in groups for row in group}
        self.make(sources.union(*(names for _, names, _ in alone)))
        where = "in memory" if self.storage == servers.MEMORY else "in files"
        print(f"{machine.described()}\nregistry {where}; runs: {self.options.runs}", flush=True)
        for group in groups:
            self.push(group)
        for title, _, function in alone:
            costs, judged = function(self.options, self.images, self.storage)
            self.show(title, costs, dict.fromkeys(costs, self.options.runs), judged)
        print(*report.summary(self.judged), sep="\n")

    def push(self, group):
        if group[0].tls and not servers.can_do_tls():
            print("\nleft out without openssl or a registry other than hoist's:", end="")
            for row in group:
                self.show(self.title(row), {}, {}, report.verdicts(row.goals, {}))
            return
        results = self.measure(group)
        for row in group:
            if self.wanted(self.title(row)):
                counts, costs = {}, {}
                for name, runs in results[row.title].items():
                    counts[name] = len(runs)
                    costs[name] = report.medians(runs) if all(runs) else None
                self.show(self.title(row), costs, counts, report.verdicts(row.goals, results[row.title]))

    def groups(self):
        """Rows that share registries, together."""
        groups = []
        for row in rows.ROWS:
            if row.again:
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    def wanted(self, title):
        return not self.options.row or any(re.search(row, title) for row in self.options.row)

    def title(self, row):
        return row.title.format(**vars(self.options))

    def name(self, row):
        return row.source.format(**vars(self.options))

    def make(self, names):
        script = ROOT / "tests" / "bench" / "images.py"
        subprocess.run([sys.executable, script, self.images, *sorted(names)], check=True)

    def measure(self, group):
        """By title and program the costs; None of what a program cannot do."""
        source = self.images / self.name(group[0])
        forms = [form for row in group for form in row.forms]
        pushers = programs.forms(forms, self.options.hoist, self.options.static) | self.peers
        results = {row.title: {} for row in group}
        times = 1 if self.options.quick else group[0].times
        for number in range(self.options.runs * times):
            for name, commands in rotated(pushers.items(), number):
                if not self.takes_part(name, group[0], number):
                    continue
                with servers.Registry(self.options.hoist, self.storage, group[0].tls) as registry:
                    for row in group:
                        if not self.takes_part(name, row, number):
                            break
                        with registry.at(row.rtt_ms, row.mbit) as target:
                            push = commands(source, target)
                            if push:
                                measure.make_ready(source, self.storage)
                            cost = push and measure.push(push, registry)
                        results[row.title].setdefault(name, []).append(cost)
        return results

    def takes_part(self, name, row, number):
        is_hoist = name in programs.FORMS
        if is_hoist and name not in ("hoist", *row.forms):
            return False
        if number >= self.options.runs and name not in row.compared():
            return False
        return name not in row.once or (number == 0 and (is_hoist or not self.options.quick))

    def show(self, title, costs, counts, judged):
        judged = list(judged)
        self.measured.append((title, costs))
        self.judged += [(title, one) for one in judged]
        tables = report.table(costs, counts) if costs else []
        print(f"\n{title}", *tables, *report.lines_of(judged), sep="\n", flush=True)


def rotated(items, by):
    """Each begins a round once: the first one after a pause finds the machine's memory given away."""
    items = list(items)
    by %= len(items)
    return items[by:] + items[:by]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
