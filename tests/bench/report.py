"""What was measured, for people: a table and the goals of each row, and all rows in Markdown."""

import statistics

import measure

COLUMNS = f"{'':14}{'seconds':>9}{'× hoist':>9}{'cpu s':>9}{'× hoist':>9}{'peak MiB':>10}{'requests':>10}{'stored':>9}"

WORDS = {"seconds": "time", "cpu": "CPU", "mib": "peak", "requests": "requests", "stored": "stored size"}


def medians(runs):
    """Of each field of some `Cost`s; None where the registry did not say."""
    return measure.Cost(*(middle([value for value in field if value is not None]) for field in zip(*runs)))


def middle(values):
    if not values:
        return None
    whole = all(isinstance(value, int) for value in values)
    return statistics.median_high(values) if whole else statistics.median(values)


def table(costs, counts):
    """`costs` are the medians, by name; `counts` of how many runs; None is what a program cannot do."""
    yield COLUMNS
    usual = max(counts.values())
    for name, cost in costs.items():
        if cost is None:
            yield f"{name:14}{'-':>9}"
            continue
        own = costs["hoist"]
        runs = "" if counts[name] == usual else f"  ({counts[name]} run)"
        yield (
            f"{name:14}{cost.seconds:9.3f}{times(cost.seconds, own.seconds):>9}{cost.cpu:9.3f}"
            f"{times(cost.cpu, own.cpu):>9}{cost.mib:10.1f}"
            f"{'-' if cost.requests is None else cost.requests:>10}{cost.stored:9.1f}{runs}"
        )


def times(value, of):
    return f"{value / of:.2f}" if of else "-"


def verdicts(goals, costs):
    """Of each goal what it says, how it came out, and whether that is good; None where it was not measured."""
    for goal in goals:
        says = f"{WORDS[goal.what]} of {goal.who} ≤ {goal.limit:g}" + (f" × {goal.of}" if goal.of else "")
        who, of = costs.get(goal.who), costs.get(goal.of)
        value = who and getattr(who, goal.what)
        if goal.of:
            value = value / getattr(of, goal.what) if of and value is not None else None
        yield says, value, None if value is None else round(value, 3) <= goal.limit


def lines_of(judged):
    for says, value, good in judged:
        word = {True: "ok", False: "over", None: "-"}[good]
        shown = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else value
        yield f"  {says:48}{shown:>9}  {word}"


def summary(judged):
    """Of all goals: (row, what `verdicts` gives)."""
    goods = [good for _, (_, _, good) in judged]
    yield f"goals: {goods.count(True)} ok, {goods.count(False)} over, {goods.count(None)} not measured"
    for title, (says, value, good) in judged:
        if good is False:
            yield f"  over: {title}: {says}: {value:.3f}"
