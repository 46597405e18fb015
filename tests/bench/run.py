"""hoist beside crane and skopeo, where these are on PATH: `make bench`.

Every run has a registry of its own, newly started and empty: distribution 3, else 2.8, else `hoist
serve`. The programs take turns, so that a slow minute of the machine hits them all. Medians are
printed, and each time in relation to hoist's. Processor time is the program's, without the registry's.
Peak memory is the kernel's high-water mark, looked at until the program ends.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOIST = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "hoist"
REQUEST = re.compile(r'"(GET|HEAD|POST|PUT|PATCH|DELETE) /v2/')

DISTRIBUTION = """version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


class Registry:
    """An empty registry on a free port, gone when closed."""

    def __init__(self):
        self.room = pathlib.Path(tempfile.mkdtemp(prefix="hoist-bench-"))
        self.log = self.room / "log"
        program = shutil.which("registry") or shutil.which("docker-registry")
        if program:
            config = self.room / "config.yml"
            config.write_text(DISTRIBUTION.format(data=self.room / "data"))
            command = [program, "serve", config]
        else:
            command = [HOIST, "serve", "--listen", "127.0.0.1:0", self.room / "data"]
        self.counts = bool(program)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = self.wait_for_port()

    def wait_for_port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"127\.0\.0\.1:([1-9]\d*)", self.log.read_text())
            if found:
                return int(found[1])
            time.sleep(0.01)
        said = self.log.read_text()
        self.close()
        sys.exit(f"bench: the registry did not start:\n{said}")

    def requests(self):
        """As its access log has them; hoist serve is not asked."""
        return len(REQUEST.findall(self.log.read_text())) if self.counts else None

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.room)


def measure(commands):
    """Runs them one after the other: seconds, processor seconds, peak MiB."""
    cpu = peak = 0
    started = time.monotonic()
    for command in commands:
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            usage = None
            while usage is None:
                peak = max(peak, high_water(process.pid))
                pid, status, gone = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    usage, process.returncode = gone, os.waitstatus_to_exitcode(status)
                else:
                    time.sleep(0.002)
            if process.returncode != 0:
                said.seek(0)
                words = " ".join(map(str, command))
                sys.exit(f"bench: {words}\n{said.read().decode(errors='replace')}")
            cpu += usage.ru_utime + usage.ru_stime
    return time.monotonic() - started, cpu, peak / 1024


def high_water(pid):
    """KiB. Not ru_maxrss, which begins with the size of the program that started this one."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0


def hoist(source, port):
    target = f"localhost:{port}/bench/" + ("" if source.name == "images" else "image:1")
    return [[HOIST, "push", "--quiet", source, target]]


def crane(source, port):
    push = lambda one: ["crane", "push", one, f"localhost:{port}/bench/{one.stem}:1"]
    return [push(one) for one in images_in(source)]


def skopeo(source, port):
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]

    def one_copy(one):
        transport = "oci" if one.is_dir() else "docker-archive"
        return [*copy, f"{transport}:{one}", f"docker://localhost:{port}/bench/{one.stem}:1"]

    return [one_copy(one) for one in images_in(source)]


def images_in(source):
    return sorted(source.iterdir()) if source.name == "images" else [source]


CASES = [
    ("layers", "30 layers of 4 MiB", False),
    ("large", "2 layers of 96 MiB", False),
    ("plain.tar", "a docker archive, 4 plain layers of 48 MiB", False),
    ("images", "20 images on one base", False),
    ("layers", "30 layers, all there already", True),
]


def run(tool, source, again):
    registry = Registry()
    try:
        before = 0
        if again:
            measure(tool(source, registry.port))
            before = registry.requests()
        times = measure(tool(source, registry.port))
        requests = registry.requests()
        return (*times, requests - before if registry.counts else None)
    finally:
        registry.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each program and case")
    parser.add_argument("--case", help="only those whose name holds this")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release"], cwd=ROOT, check=True)
    tools = [hoist] + [tool for tool in (crane, skopeo) if shutil.which(tool.__name__)]
    with tempfile.TemporaryDirectory(prefix="hoist-bench-") as room:
        room = pathlib.Path(room)
        subprocess.run([sys.executable, ROOT / "tests/bench/images.py", room], check=True)
        for name, title, again in CASES:
            if options.case and options.case not in title:
                continue
            print(f"\n{title}\n{'':8} {'seconds':>8} {'ratio':>6} {'cpu s':>7} {'MiB':>6} {'requests':>8}")
            results = {tool: [] for tool in tools}
            for _ in range(options.runs):
                for tool in tools:
                    results[tool].append(run(tool, room / name, again))
            for tool in tools:
                show(tool, results)


def show(tool, results):
    seconds, cpu, peak, requests = zip(*results[tool])
    median = statistics.median(seconds)
    ratio = median / statistics.median(one[0] for one in results[hoist])
    count = "-" if requests[0] is None else round(statistics.median(requests))
    print(
        f"{tool.__name__:8} {median:8.3f} {ratio:6.2f} {statistics.median(cpu):7.3f}"
        f" {max(peak):6.1f} {count:>8}"
    )


if __name__ == "__main__":
    main()
