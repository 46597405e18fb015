"""What the second run of a push sends when the first was killed, by hoist and its peers: `make bench-killed`.

Each program pushes an image of four layers through a proxy that counts bytes on their way to the registry. When
so much of the image has gone by, the program is killed (SIGKILL), and run again to its end, as its defaults
have it.
"""

import argparse
import contextlib
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True

import machine
import measure
import programs
import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not options.hoist:
        build = ["cargo", "build", "--quiet", "--locked", "--release", "--target-dir", ROOT / "target"]
        subprocess.run(build, cwd=ROOT, check=True)
        options.hoist = ROOT / "target" / "release" / "hoist"
    with tempfile.TemporaryDirectory(prefix="hoist-bench-") as room:
        images, name = options.images or pathlib.Path(room), f"large-{options.large}"
        script = pathlib.Path(__file__).with_name("images.py")
        subprocess.run([sys.executable, script, images, name], check=True)
        print(f"{machine.described()}\n{name}, killed at {options.part:.0%}; runs: {options.runs}\n")
        compare(options, images / name)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each program: 5")
    parser.add_argument("--large", type=int, default=1024, help="MiB of the image: 1024")
    parser.add_argument("--part", type=float, default=0.9, help="of the image, after which it is killed: 0.9")
    parser.add_argument("--hoist", type=pathlib.Path, help="this binary; nothing is built")
    parser.add_argument("--images", type=pathlib.Path, help="a folder that keeps the images")
    return parser.parse_args()


def compare(options, source):
    """One row for each program: medians, and of the second run the least and the most."""
    storage = servers.storage(2 * options.large)
    pushers = programs.forms([], options.hoist, None) | programs.peers()
    size = servers.size_of(source)
    print("| program | first run | second run | of the image | least – most |")
    print("|---|--:|--:|--:|--:|", flush=True)
    for name, commands in pushers.items():
        runs = [twice(options, commands, source, storage, size) for _ in range(options.runs)]
        first, second = (statistics.median(run) for run in zip(*runs))
        least, most = (choose(again for _, again in runs) for choose in (min, max))
        figures = [f"{first:.1f} MiB", f"{second:.1f} MiB", f"{second / size:.1%}"]
        print(f"| {' | '.join([name, *figures, f'{least:.1f} – {most:.1f} MiB'])} |", flush=True)


def twice(options, commands, source, storage, size):
    """MiB that went up until the push was killed, and in the run after that."""
    with servers.Registry(options.hoist, storage) as registry, Counter(registry) as counter:
        [command] = commands(source, programs.Target(counter.port, False))
        killed(command, registry.home, counter, options.part * size * MIB)
        first = counter.count
        measure.run([command], registry.home)
        return first / MIB, (counter.count - first) / MIB


def killed(command, home, counter, part):
    environment = measure.environment(home)
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        counter.wait_for(part)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            raise SystemExit(f"bench: {command[0]} ended before it was killed")
    counter.wait_until_quiet()


class Counter:
    """A proxy before the registry, which counts what goes up."""

    def __init__(self, registry):
        self.registry, self.count, self.open = registry, 0, 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.registry.process.port))
                with self.changed:
                    self.open += 1
                threading.Thread(target=self.up, args=(client, server), daemon=True).start()
                threading.Thread(target=down, args=(client, server), daemon=True).start()

    def up(self, client, server):
        buffer = memoryview(bytearray(256 << 10))
        with contextlib.suppress(OSError):
            while read := client.recv_into(buffer):
                with self.changed:
                    self.count += read
                    self.changed.notify_all()
                server.sendall(buffer[:read])
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        with self.changed:
            self.open -= 1
            self.changed.notify_all()

    def wait_for(self, count):
        with self.changed:
            self.changed.wait_for(lambda: self.count >= count)

    def wait_until_quiet(self):
        """What a killed program had given to its system still goes up: that was the first run."""
        with self.changed:
            self.changed.wait_for(lambda: self.open == 0)


def down(client, server):
    buffer = memoryview(bytearray(64 << 10))
    with contextlib.suppress(OSError):
        while read := server.recv_into(buffer):
            client.sendall(buffer[:read])
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
