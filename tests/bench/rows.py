"""What is measured, and how good hoist wants to be at it.

A push is measured beside the same push by other programs; a goal is a share of what one of them took in
the same run.
"""

import typing


class Goal(typing.NamedTuple):
    """At most `limit` × what `of` took; at most `limit` where that is empty."""

    what: str  # a field of `measure.Cost`
    limit: float
    of: str = ""
    who: str = "hoist"


class Row(typing.NamedTuple):
    title: str
    # A name of `images.py`.
    source: str
    goals: tuple
    # Forms of hoist that run beside the plain one: names of `programs.FORMS`.
    forms: tuple = ()
    # Who takes long for it: run once, and peers not at all when it must be quick.
    once: tuple = ()
    tls: bool = False
    # Of a link before the registry; 0 is none.
    rtt_ms: float = 0
    mbit: float = 0
    # The images of the row before, into the registries of the row before.
    again: bool = False
    # Run so many times as often, without those that no goal names: where a goal is within a few per cent, or
    # all is over in a moment, what else the machine does weighs more.
    times: int = 1

    def compared(self):
        return {name for goal in self.goals for name in (goal.who, goal.of)}


# What a push may take longer because of what it writes down for the next one.
REMEMBERING = Goal("seconds", 1.03, "hoist forgets")

ROWS = [
    Row(
        "OCI layout, 4 layers, {large} MiB, http",
        "large-{large}",
        (Goal("seconds", 1.0, "crane"), Goal("cpu", 1.1, "crane"), REMEMBERING),
        forms=("hoist forgets",),
        once=("skopeo", "regctl"),
        times=4,
    ),
    Row(
        "OCI layout, 4 layers, {large} MiB, TLS",
        "large-{large}",
        (
            Goal("seconds", 0.70, "crane"),
            Goal("cpu", 0.45, "crane"),
            Goal("cpu", 1.15, "hoist", "hoist static"),
        ),
        forms=("hoist static",),
        tls=True,
        times=4,
    ),
    Row(
        "41 blobs of 1 MiB, http",
        "many",
        (Goal("seconds", 0.75, "crane"), REMEMBERING),
        forms=("hoist forgets",),
        times=10,
    ),
    Row(
        "41 blobs of 1 MiB, pushed again, 50 ms away",
        "many",
        (Goal("seconds", 0.43, "crane"),),
        once=("skopeo",),
        rtt_ms=50,
        again=True,
    ),
    Row(
        "41 blobs of 1 MiB, 50 ms away",
        "many",
        (
            Goal("seconds", 0.30, "crane"),
            Goal("seconds", 0.24, "crane", "hoist -j 48"),
            Goal("requests", 86),
            Goal("seconds", 1 / 5, "hoist -j 1"),
            REMEMBERING,
        ),
        forms=("hoist -j 48", "hoist -j 1", "hoist forgets"),
        once=("skopeo", "hoist -j 1"),
        rtt_ms=50,
    ),
    Row(
        "41 blobs of 1 MiB, 50 ms away, 400 Mbit/s",
        "many",
        (Goal("seconds", 0.52, "crane"), Goal("seconds", 0.42, "crane", "hoist -j 48")),
        forms=("hoist -j 48",),
        once=("skopeo",),
        rtt_ms=50,
        mbit=400,
    ),
    Row(
        "docker save, 4 plain layers, {plain} MiB, http",
        "plain-{plain}.tar",
        (
            Goal("seconds", 0.50, "crane"),
            Goal("seconds", 0.75, "skopeo"),
            Goal("stored", 1.0, "crane"),
            Goal("stored", 1.0, "skopeo"),
            Goal("seconds", 0.25, "crane", "hoist zstd"),
            Goal("stored", 1.0, "skopeo", "hoist zstd"),
            REMEMBERING,
        ),
        forms=("hoist zstd", "hoist forgets"),
        once=("regctl",),
        times=2,
    ),
    Row(
        "docker save, 4 plain layers, {plain} MiB, pushed again, http",
        "plain-{plain}.tar",
        (Goal("seconds", 0.02, "crane"),),
        once=("regctl",),
        again=True,
    ),
    Row("20 images on one base of 3 layers, http", "images", ()),
]
