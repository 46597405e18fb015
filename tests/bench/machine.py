"""What a bench ran on, in words, for those who read its figures elsewhere."""

import os
import pathlib
import platform
import re

import programs
import servers


def described():
    """The machine and what ran there."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cores = os.cpu_count()
    machine = f"{processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {kernel()}"
    peers = [f"{name} {version}" for name, version in programs.versions().items()]
    return f"{machine}; {', '.join([registry(), *peers])}"


def registry():
    program = servers.program_name()
    return f"distribution {programs.version([program, '--version'])}" if program else "`hoist serve`"


def processor():
    try:
        listed = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        listed = ""
    found = re.search(r"^model name\s*:\s*(.+)$", listed, re.M)
    return found[1] if found else platform.machine()


def kernel():
    return re.match(r"[\d.]+|", platform.release())[0]
