"""hoist beside crane and skopeo, where these are on PATH: `make bench`.

The programs take turns, each with a registry of its own that is new and empty, so that a slow minute
of the machine hits them all. Medians are printed, the time also in relation to hoist's (above 1 is
slower than hoist), the speed in bytes of the source, and the highest peak of memory. With `--rtt` the
registry is behind a long link.
"""

import argparse
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import measure
import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder or file, what it is, whether it was pushed before.
ROWS = [
    ("large", "4 layers, {large} MiB", False),
    ("many", "41 blobs of 1 MiB", False),
    ("many", "41 blobs of 1 MiB, pushed before", True),
    ("images", "20 images on one base of 3 layers", False),
    ("plain.tar", "docker archive, 4 plain layers, {plain} MiB", False),
    ("plain.tar", "docker archive, 4 plain layers, {plain} MiB, pushed before", True),
]


def main():
    options = parse()
    # So that servers and folders go when it is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not options.hoist:
        build = ["cargo", "build", "--quiet", "--locked", "--release", "--target-dir", ROOT / "target"]
        subprocess.run(build, cwd=ROOT, check=True)
        options.hoist = ROOT / "target" / "release" / "hoist"
    tools = {"hoist": lambda source, port: hoist(options.hoist, source, port)}
    tools |= {tool.__name__: tool for tool in (crane, skopeo) if shutil.which(tool.__name__)}
    link = f", {options.rtt:g} ms away" if options.rtt else ""
    print(f"registry: {servers.program_name() or 'hoist serve'}{link}; runs: {options.runs}")
    with tempfile.TemporaryDirectory(prefix="hoist-bench-") as room:
        room = pathlib.Path(room)
        sizes = [str(options.large), str(options.plain)]
        make = [sys.executable, ROOT / "tests" / "bench" / "images.py", room, *sizes]
        subprocess.run(make, check=True)
        for name, title, again in ROWS:
            title = title.format(**vars(options))
            if not options.row or options.row in title:
                show(title, room / name, compare(tools, room / name, again, options))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", nargs="?", choices=["full", "quick"], default="full")
    parser.add_argument("--runs", type=int, help="of each program and row: 5, quick 1")
    parser.add_argument("--large", type=int, help="MiB of the large layout: 1024, quick 128")
    parser.add_argument("--plain", type=int, help="MiB of the docker archive: 384, quick 64")
    parser.add_argument("--rtt", type=float, help="ms of a link between program and registry")
    parser.add_argument("--row", help="only rows whose name holds this")
    parser.add_argument("--hoist", type=pathlib.Path, help="this binary; nothing is built")
    options = parser.parse_args()
    quick = options.mode == "quick"
    options.runs = options.runs or (1 if quick else 5)
    options.large = options.large or (128 if quick else 1024)
    options.plain = options.plain or (64 if quick else 384)
    return options


def compare(tools, source, again, options):
    results = {tool: [] for tool in tools}
    for _ in range(options.runs):
        for tool, commands in tools.items():
            with servers.Registry(options.hoist, options.rtt) as registry:
                push = commands(source, registry.port)
                before = 0
                if again:
                    measure.run(push, registry.home)
                    before = registry.requests()
                cost = measure.run(push, registry.home)
                requests = registry.requests()
                results[tool].append((cost, requests - before if registry.counts else None))
    return results


def show(title, source, results):
    print(f"\n{title}")
    print(f"{'':8}{'seconds':>9}{'ratio':>7}{'MiB/s':>8}{'cpu s':>8}{'peak MiB':>10}{'requests':>10}")
    size = sum(file.stat().st_size for file in [source, *source.rglob("*")] if file.is_file())
    seconds = {
        tool: statistics.median(cost.seconds for cost, _ in runs) for tool, runs in results.items()
    }
    for tool, runs in results.items():
        counts = [count for _, count in runs if count is not None]
        print(
            f"{tool:8}{seconds[tool]:9.3f}{seconds[tool] / seconds['hoist']:7.2f}"
            f"{size / (1 << 20) / seconds[tool]:8.0f}"
            f"{statistics.median(cost.cpu for cost, _ in runs):8.3f}"
            f"{max(cost.mib for cost, _ in runs):10.1f}"
            f"{statistics.median_high(counts) if counts else '-':>10}",
            flush=True,
        )


def hoist(program, source, port):
    target = f"localhost:{port}/bench/" + ("" if source.name == "images" else f"{source.stem}:1")
    return [[program, "push", "--quiet", source, target]]


def crane(source, port):
    return [
        ["crane", "push", one, f"localhost:{port}/bench/{one.stem}:1"] for one in images_in(source)
    ]


def skopeo(source, port):
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]

    def one_copy(one):
        transport = "oci" if one.is_dir() else "docker-archive"
        return [*copy, f"{transport}:{one}", f"docker://localhost:{port}/bench/{one.stem}:1"]

    return [one_copy(one) for one in images_in(source)]


def images_in(source):
    return sorted(source.iterdir()) if source.name == "images" else [source]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
