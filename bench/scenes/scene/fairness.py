"""Fairness: what neighbours do to a session that reads 4 KiB at a time and waits for each.

A client that asks for much and never reads an answer, and one that floods a slow disk with writes, may at most double
the 99th percentile that the session has beside a neighbour who reads 64 KiB at a time, four at once. The processors
are kept awake.
"""

import contextlib

from . import awake, clients, place, process, servers, wire
from .clients import Load
from .result import median, spread
from .slowdisk import SlowDisk

MEBIBYTE = 1 << 20
SLOW = 20 * MEBIBYTE
UNREAD = 8  # commands of 1 MiB: what a new session's window takes
LIMIT = 2.0


def run(found):
    seconds = 0.3
    directory = place.fresh("images")
    own, other = (place.filled(directory / name, 256 * MEBIBYTE) for name in ("own", "other"))
    client = clients.available()[0]
    load = Load("read", qd=1, seconds=seconds)
    with (SlowDisk(256 * MEBIBYTE, SLOW) as slow, servers.timedisk([own, other, slow.image]) as server,
          awake.processors()):
        mine, others, slow_url = server.urls
        cases = {
            "alone": (mine, contextlib.nullcontext),
            "a well-behaved neighbour": (mine, lambda: loaded(others, Load("read", 64 << 10, 4, seconds + 1))),
            "a client that stops reading": (mine, lambda: unread(others, 1)),
            "16 clients that stop reading": (mine, lambda: unread(others, 16)),
            "a client that stops reading, same disk": (mine, lambda: unread(mine, 1)),
            "a flood of 1M writes to a slow disk": (mine, lambda: flooded(slow_url, seconds)),
            "16 floods of 1M writes to a slow disk": (mine, lambda: flooded(slow_url, seconds, 16)),
            "a flood of 1M writes, same slow disk": (slow_url, lambda: flooded(slow_url, 5 * seconds)),
        }
        figures = {name: [] for name in cases}
        for _ in range(found.rounds(25)):
            for name, (url, neighbour) in cases.items():
                with neighbour():
                    figures[name].append(clients.measure(client, url, load)["latency_us"]["p99"])
    report(found, figures, f"p99 of {load}, {client}")


def report(found, figures, what):
    base = figures["a well-behaved neighbour"]
    for name, values in figures.items():
        found.add(f"{what}: {name}", median(values), "us", note=spread(values))
    for name, values in figures.items():
        if name in ("alone", "a well-behaved neighbour"):
            continue
        ratios = [value / well for value, well in zip(values, base)]
        # On the slow disk itself the reads have to wait for the disk, however fair the target is.
        goal = {} if "same slow" in name else {"at_most": LIMIT}
        found.add(f"{name}, of a well-behaved one", median(ratios), "x", note=spread(ratios), **goal)


@contextlib.contextmanager
def loaded(url, load):
    running = clients.begin(clients.LIBISCSI, url, load)
    try:
        yield
    finally:
        process.end(running, 0.1)


@contextlib.contextmanager
def unread(url, count):
    """Sessions that ask for as much as they may, and read nothing."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            session = wire.Session(url, number, receive_buffer=4096)
            stack.callback(session.close)
            for command in range(UNREAD):
                session.ask_to_read(MEBIBYTE // 512, lba=command * (MEBIBYTE // 512))
        yield


@contextlib.contextmanager
def flooded(url, seconds, sessions=1):
    with loaded(url, Load("write", MEBIBYTE, 32 // min(sessions, 4), seconds + 2, sessions, "seq")):
        yield
