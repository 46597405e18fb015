"""What was measured, for people: table and goals of a row, and all rows in Markdown."""

import statistics

import measure

COLUMNS = ("seconds", "× hoist", "cpu s", "× hoist", "peak MiB", "requests", "stored")

WORDS = {"seconds": "time", "cpu": "CPU", "requests": "requests", "stored": "stored size"}

# What a form of hoist adds to the title of a row in Markdown.
SHORT = {
    "hoist": "",
    "hoist -j 1": ", `-j 1`",
    "hoist -j 48": ", `-j 48`",
    "hoist forgets": ", `--no-state --no-cache`",
    "hoist zstd": ", `--compression zstd`",
    "hoist static": ", static binary",
}


def medians(runs):
    """Of each field of some `Cost`s; None where the registry did not say."""
    fields = ([value for value in field if value is not None] for field in zip(*runs))
    return measure.Cost(*map(middle, fields))


def middle(values):
    if not values:
        return None
    whole = all(isinstance(value, int) for value in values)
    return statistics.median_high(values) if whole else statistics.median(values)


def table(costs, counts):
    """`costs` are the medians, by name; `counts` of how many runs; None is what a program cannot do."""
    yield " " * 14 + "".join(f"{column:>10}" for column in COLUMNS)
    usual = max(counts.values())
    for name, cost in costs.items():
        runs = "" if counts[name] == usual else f"  ({counts[name]} run)"
        row = "".join(f"{cell:>10}" for cell in cells(cost, costs.get("hoist")))
        yield f"{name:14}{row}{runs}"


def cells(cost, hoist):
    if cost is None:
        return ["-"]
    return [
        f"{cost.seconds:.3f}",
        times(cost.seconds, hoist and hoist.seconds),
        f"{cost.cpu:.3f}",
        times(cost.cpu, hoist and hoist.cpu),
        f"{cost.mib:.1f}",
        "-" if cost.requests is None else cost.requests,
        "-" if cost.stored is None else f"{cost.stored:.1f}",
    ]


def times(value, of):
    return f"{value / of:.2f}" if of else "-"


def verdicts(goals, results):
    """Of each goal what it says, how it came out, and whether that is good; None when not measured. `results`
    are all runs, by name."""
    for goal in goals:
        says = f"{WORDS[goal.what]} of {goal.who} ≤ {goal.limit:g}"
        says += f" × {goal.of}" if goal.of else ""
        value = outcome(goal, results)
        yield says, value, None if value is None else round(value, 3) <= goal.limit


def outcome(goal, results):
    """Of two programs the median of how they stood in each round, which a machine that gets slower and
    faster between rounds changes least; where one ran in fewer rounds, how their medians stand."""
    who = figures_of(results.get(goal.who), goal.what)
    if not goal.of:
        return middle(who)
    of = figures_of(results.get(goal.of), goal.what)
    if not who or not of:
        return None
    if len(who) == len(of):
        return statistics.median(one / other for one, other in zip(who, of))
    return middle(who) / middle(of)


def figures_of(runs, what):
    """Of each run; none of what a program cannot do or nobody has measured."""
    figures = [run and getattr(run, what) for run in runs or ()]
    return [] if None in figures else figures


def lines_of(judged):
    for says, value, good in judged:
        word = {True: "ok", False: "over", None: "-"}[good]
        shown = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else value
        yield f"  {says:48}{shown:>9}  {word}"


def summary(judged):
    """Of all goals: (row, what `verdicts` gives)."""
    goods = [good for _, (_, _, good) in judged]
    yield ""
    ok, over, unknown = map(goods.count, (True, False, None))
    yield f"goals: {ok} ok, {over} over, {unknown} not measured"
    for title, (says, value, good) in judged:
        if good is False:
            yield f"  over: {title}: {says}: {value:.3f}"


def markdown(measured, judged, peers):
    """One row for each form of hoist in `measured`, pairs of a title and costs by name. Of what has no
    costs, what was judged."""
    yield "| work | time | CPU | peak | requests | " + " | ".join(peers) + " |"
    yield "|---|" + "--:|" * (4 + len(peers))
    for title, costs in measured:
        for name, cost in costs.items():
            if name not in peers and cost is not None:
                beside = [versus(costs.get(peer), cost) for peer in peers]
                row = [title + SHORT.get(name, f": {name}"), *figures(cost), *beside]
                yield "| " + " | ".join(row) + " |"
    without = [title for title, costs in measured if not costs]
    for title in without:
        said = [(says, value) for row, (says, value, _) in judged if row == title and value]
        if said:
            shown = (f"{value:.2f} {says.partition(' ≤')[0]}" for says, value in said)
            yield f"\n{title}: {', '.join(shown)}"


def figures(cost):
    requests = "–" if cost.requests is None else f"{cost.requests:,}"
    return [time_of(cost.seconds), time_of(cost.cpu), f"{cost.mib:.0f} MiB", requests]


def time_of(seconds):
    return f"{seconds:.2f} s" if seconds >= 0.0995 else f"{seconds * 1000:.0f} ms"


def versus(peer, hoist):
    """Time and CPU of a peer as multiples of hoist's."""
    if peer is None:
        return "–"
    return f"{many_times(peer.seconds, hoist.seconds)} / {many_times(peer.cpu, hoist.cpu)}"


def many_times(value, of):
    if not of:
        return "–"
    return f"{value / of:.2f}" if value < 10 * of else f"{value / of:.0f}"
