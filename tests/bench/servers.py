"""What pushes go to: a new and empty registry, and on demand a long link before it. Both listen on a free
port of loopback, and end with the `with` they are opened by."""

import contextlib
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import programs

REQUEST = re.compile(rb'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/')

DISTRIBUTION = """version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"{tls}}}
"""

CERTIFICATE = """[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
"""

MEMORY = pathlib.Path("/dev/shm")


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
            time.sleep(0.005)
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
    """Distribution 3, else 2.8, else `hoist serve`; what it keeps, it keeps in `storage`."""

    def __init__(self, hoist, storage, tls=False):
        self.room = pathlib.Path(tempfile.mkdtemp(prefix="hoist-bench-", dir=storage))
        self.home, self.data = self.room / "home", self.room / "data"
        self.home.mkdir()
        self.tls = tls
        self.certificate = self.room / "certificate.pem" if tls else None
        try:
            self.process = self.start(hoist)
        except BaseException:
            shutil.rmtree(self.room)
            raise

    def start(self, hoist):
        program = program_name()
        self.log = self.room / "registry.log"
        self.counts = bool(program)
        if not program:
            return Process([hoist, "serve", "--listen", "127.0.0.1:0", self.data], self.log)
        config = self.room / "config.yml"
        config.write_text(DISTRIBUTION.format(data=self.data, tls=self.keys() if self.tls else ""))
        return Process([program, "serve", config], self.log)

    def keys(self):
        """Makes a certificate that is its own authority; what the configuration says about it."""
        config, key = self.room / "openssl.cnf", self.room / "key.pem"
        config.write_text(CERTIFICATE)
        make = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
        files = ["-config", config, "-keyout", key, "-out", self.certificate]
        subprocess.run([*make.split(), *files], check=True, stderr=subprocess.DEVNULL)
        return f", tls: {{certificate: {self.certificate}, key: {key}}}"

    @contextlib.contextmanager
    def at(self, rtt_ms, mbit):
        """Where to push to so that it is as far away."""
        if not rtt_ms:
            yield programs.Target(self.process.port, self.tls)
            return
        script = pathlib.Path(__file__).with_name("link.py")
        link = [sys.executable, script, str(self.process.port), str(rtt_ms), str(mbit)]
        process = Process(link, self.room / "link.log")
        try:
            yield programs.Target(process.port, self.tls)
        finally:
            process.close()

    def requests(self):
        """As its access log has them; `hoist serve` is not asked."""
        if not self.counts:
            return None
        # A line may be written after its answer has arrived.
        size = -1
        while size != self.log.stat().st_size:
            size = self.log.stat().st_size
            time.sleep(0.02)
        return len(REQUEST.findall(self.log.read_bytes()))

    def stored(self):
        return size_of(self.data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.close()
        shutil.rmtree(self.room)


@functools.cache
def program_name():
    return shutil.which("registry") or shutil.which("docker-registry")


def can_do_tls():
    return program_name() and shutil.which("openssl")


def storage(mib):
    """A file system in memory where that has room for so much twice, else the temporary folder."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2 * mib << 20
    return MEMORY if roomy else pathlib.Path(tempfile.gettempdir())


def size_of(path):
    """MiB of all files in it."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / (1 << 20)
