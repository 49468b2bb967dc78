"""A short comparison with tgt, with generous floors: a regression is seen, a noisy machine is not."""

from . import figures
from .clients import BENCH, GROUP, LIBISCSI

# The least that timedisk has to be, in rates; about half of what the full comparison asks for.
FLOORS = [
    ("4k-read-q32", BENCH, "tgt", 2.5),
    ("4k-write-q32", BENCH, "tgt", 1.5),
    ("1m-read", BENCH, "tgt", 1.0),
    ("1m-write", BENCH, "tgt", 1.0),
    ("4k-read-q32", LIBISCSI, "tgt", 1.5),
    ("4k-write-fua-q32", BENCH, GROUP, 0.4),
]
CLIENTS = [BENCH, LIBISCSI, GROUP]
# How often floors that were missed are measured again.
RETRIES = 1


def name(floor):
    cell, client, other, _ = floor
    return f"bench/{cell}{'-libiscsi' if client == LIBISCSI else ''}-against-{other.replace(' ', '-')}"


def reached(found, floor):
    """The figure that is held against the floor."""
    cell, client, other, _ = floor
    theirs = other if other == GROUP else client
    ratios = [found.ratio((cell, "timedisk", client), (cell, other, theirs), figures.rate)]
    load = found.median(cell, "timedisk", client, figures.client_load)
    if client == LIBISCSI and load is not None and load > 0.85:
        ratios.append(found.ratio((cell, "timedisk", client), (cell, other, theirs), figures.commands_per_cpu_second))
    ratios = [ratio for ratio in ratios if ratio is not None]
    return max(ratios) if ratios else None


def judge(measure, say):
    """Says `test NAME ... VERDICT` for each floor. `measure(cells)` gives Figures. True if all were reached."""
    left, good = FLOORS, True
    for attempt in range(1 + RETRIES):
        found = measure(list(dict.fromkeys(cell for cell, _, _, _ in left)))
        missed = []
        for floor in left:
            value = reached(found, floor)
            say(f"{name(floor)}: {'no figure' if value is None else f'{value:.2f}'}, floor {floor[3]}")
            if value is not None and value >= floor[3]:
                say(f"test {name(floor)} ... ok")
            else:
                missed.append((floor, value))
        if attempt == RETRIES or not missed:
            break
        left = [floor for floor, _ in missed]
        say(f"{len(left)} floors were missed; once more")
    for floor, value in missed:
        figure = "no figure" if value is None else f"{value:.2f} times as fast"
        say(f"test {name(floor)} ... FAILED: {figure} as {floor[2]}, and at least {floor[3]} is wanted")
        good = False
    return good
