"""What pushes go to: a new and empty registry, and on demand a long link before it. Both listen on a free
port of loopback, and end with the `with` they are opened by."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

REQUEST = re.compile(rb'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/')

DISTRIBUTION = """version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


class Process:
    """A server that says its address in its output."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output
            )
        try:
            self.port = self.wait_for_port()
        except BaseException:
            self.close()
            raise

    def wait_for_port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(rb"127\.0\.0\.1:([1-9]\d*)", self.log.read_bytes())
            if found:
                return int(found[1])
            time.sleep(0.01)
        said = self.log.read_text(errors="replace")
        raise SystemExit(f"bench: {self.process.args[0]} did not start:\n{said}")

    def close(self):
        self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Registry:
    """Distribution 3, else 2.8, else `hoist serve`."""

    def __init__(self, hoist, rtt):
        self.room = pathlib.Path(tempfile.mkdtemp(prefix="hoist-bench-"))
        self.home = self.room / "home"
        self.home.mkdir()
        self.processes = []
        try:
            self.port = self.start(hoist)
            if rtt:
                link = [sys.executable, pathlib.Path(__file__).with_name("link.py")]
                self.port = self.run([*link, str(self.port), str(rtt)], "link.log")
        except BaseException:
            self.close()
            raise

    def start(self, hoist):
        program = program_name()
        self.counts = bool(program)
        if not program:
            serve = [hoist, "serve", "--listen", "127.0.0.1:0", self.room / "data"]
            return self.run(serve, "registry.log")
        config = self.room / "config.yml"
        config.write_text(DISTRIBUTION.format(data=self.room / "data"))
        return self.run([program, "serve", config], "registry.log")

    def run(self, command, log):
        self.processes.append(Process(command, self.room / log))
        return self.processes[-1].port

    def requests(self):
        """As its access log has them; `hoist serve` is not asked."""
        if not self.counts:
            return None
        return len(REQUEST.findall((self.room / "registry.log").read_bytes()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self.processes):
            process.close()
        shutil.rmtree(self.room)


def program_name():
    return shutil.which("registry") or shutil.which("docker-registry")
