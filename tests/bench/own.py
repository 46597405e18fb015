"""What is measured of hoist alone: its static binary, how a push grows with its images, and planning.

Each function gives costs by name, as medians, and what became of the goals, as `report.verdicts` does.
"""

import os
import statistics
import time

import measure
import report
import servers

STARTS = 200

# Images of one push, the fewest and the most of which are compared.
SCALE = (10, 100, 1000)

PLANNED = 10000


def rows():
    """Title, names of `images.py`, function."""
    return [
        ("small images in one push, http", [small(n) for n in SCALE], scale),
        (f"{PLANNED:,} images planned", [small(PLANNED)], plan),
        ("the static binary", [], binary),
    ]


def small(count):
    return f"small-{count}"


def scale(options, images, storage):
    runs = {count: [] for count in SCALE}
    for _ in range(options.runs):
        for count in SCALE:
            with servers.Registry(options.hoist, storage) as registry, registry.at(0, 0) as target:
                destination = f"{target.host}/bench/"
                push = [options.hoist, "push", "--quiet", images / small(count), destination]
                runs[count].append(measure.push([push], registry))
    costs = {f"{count} images": report.medians(runs[count]) for count in SCALE}
    least, most = costs[f"{SCALE[0]} images"], costs[f"{SCALE[-1]} images"]
    per_image = SCALE[-1] / SCALE[0]
    judged = [growth("time", most.seconds / least.seconds / per_image)]
    if least.requests:
        judged.append(growth("requests", most.requests / least.requests / per_image))
    return costs, judged


def growth(what, value):
    return judge(f"{what} per image of {SCALE[-1]} ≤ 1.2 × of {SCALE[0]}", value, 1.2)


def plan(options, images, _):
    list_them = [options.hoist, "list", images / small(PLANNED)]
    runs = [measure.run([list_them], images) for _ in range(options.runs)]
    cost = report.medians([measure.Cost(*run, None, None) for run in runs])
    return {"hoist list": cost}, [judge("seconds ≤ 5", cost.seconds, 5)]


def binary(options, *_):
    starts = "ms for --version ≤ 2"
    if not options.static:
        return {}, [("MiB ≤ 4", None, None), (starts, None, None)]
    size = servers.size_of(options.static)
    return {}, [judge("MiB ≤ 4", size, 4), judge(starts, start_ms(options.static), 2)]


def start_ms(program):
    """Median from the start to the end of a process that says its version."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    seconds = []
    for _ in range(STARTS):
        started = time.perf_counter()
        pid = os.posix_spawn(program, [program, "--version"], os.environ, file_actions=quiet)
        _, status = os.waitpid(pid, 0)
        seconds.append(time.perf_counter() - started)
        if status:
            raise SystemExit(f"bench: {program} --version failed")
    return statistics.median(seconds) * 1000


def judge(says, value, limit):
    return says, value, round(value, 3) <= limit
