"""Runs programs and says what they took of time, processor and memory."""

import os
import pathlib
import re
import resource
import select
import shutil
import subprocess
import tempfile
import time
import typing

# No push here takes as long on any machine that is worth measuring.
TIMEOUT = 900


# skopeo as root keeps what it remembers in /var/lib; as nobody in particular below HOME.
NOT_ROOT = {"_CONTAINERS_ROOTLESS_UID": "65534"}


class Cost(typing.NamedTuple):
    seconds: float
    # Of the program, without the registry.
    cpu: float
    mib: float
    # As the registry has them; None where it does not say.
    requests: typing.Optional[int]
    # MiB that the registry keeps afterwards.
    stored: typing.Optional[float]


def make_ready(source, storage):
    """Reads what is pushed, and takes as much memory as it will need: a system that gives back what has
    been idle for a while would charge whoever comes first."""
    files = [source] if source.is_file() else (file for file in source.rglob("*") if file.is_file())
    with tempfile.TemporaryFile(dir=storage) as ballast:
        for file in files:
            with open(file, "rb") as opened:
                shutil.copyfileobj(opened, ballast, 1 << 20)


def push(commands, registry):
    """The commands one after the other; the times add up."""
    before = registry.requests()
    cost = run(commands, registry.home, registry.certificate)
    after = registry.requests()
    requests = None if after is None else after - before
    return Cost(*cost, requests, registry.stored())


def run(commands, home, certificate=None):
    """Seconds, CPU seconds and peak MiB. What programs remember, they remember in `home`. A command that
    fails ends it all."""
    env = environment(home)
    if certificate:
        env["SSL_CERT_FILE"] = str(certificate)
    costs = [run_one([str(word) for word in command], env) for command in commands]
    seconds, cpu, mib = zip(*costs)
    return sum(seconds), sum(cpu), max(mib)


def environment(home):
    own = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return own | NOT_ROOT | {"HOME": str(home)}


def run_one(command, env):
    # What a new process is charged for memory begins with what its parent had.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env
        )
        try:
            peak = watch(process, started + TIMEOUT)
            seconds = time.monotonic() - started
        except BaseException:
            process.kill()
            process.wait()
            raise
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            output = said.read().decode(errors="replace")
            raise SystemExit(f"bench: exit {process.returncode} of {' '.join(command)}\n{output}")
        if usage.ru_maxrss > own:
            peak = usage.ru_maxrss
        return seconds, usage.ru_utime + usage.ru_stime, peak / 1024


def watch(process, deadline):
    """Waits for the end, which is not collected; the high-water mark of its memory in KiB."""
    peak, pause = 0, 1
    end = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        while not poll.poll(pause):
            peak, pause = max(peak, high_water(process.pid)), min(pause + 1, 20)
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {' '.join(process.args)} did not end in {TIMEOUT} s")
        return peak
    finally:
        os.close(end)


def high_water(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0
