"""The figures of a run as Markdown."""

from . import clients, figures
from .cells import BY_NAME, MIB
from .clients import BENCH, EXCHANGE, FILE, FIO, GROUP, LIBISCSI, STREAM

NONE = "–"
NEIGHBOURS = ["qemu-nbd", "nbdkit"]
PEERS = ["tgt", "istgt"]


def number(value):
    """Three digits that count; thousands apart."""
    if value is None:
        return NONE
    if value >= 1000:
        step = 10 ** (len(str(int(value))) - 3)
        return f"{round(value / step) * step:,}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def speed(found, cell, server, client):
    """The median rate: commands a second for small blocks, MiB/s otherwise."""
    if (cell, server, client) in found.errors and not found.of(cell, server, client):
        return "failed"
    value = found.median(cell, server, client, figures.rate)
    if value is None:
        return NONE
    return number(value) if BY_NAME[cell].small else f"{number(value * BY_NAME[cell].block / MIB)} MiB/s"


def _ratio(found, cell, client, server, their_client):
    return found.ratio((cell, "timedisk", client), (cell, server, their_client), figures.rate)


def _times(found, cell, client, server, their_client):
    """A peer's rate, and how many times as fast timedisk is."""
    theirs, value = speed(found, cell, server, their_client), _ratio(found, cell, client, server, their_client)
    if value is None:
        return theirs
    return f"{theirs} (**{value:.1f}×**)" if value < 10 else f"{theirs} (**{value:.0f}×**)"


def _percent(found, cell, limit):
    value = _ratio(found, cell, BENCH, limit, limit)
    return NONE if value is None else f"{speed(found, cell, limit, limit)} (**{value:.0%}**)"


def _table(head, rows):
    rows = [row for row in rows if any(entry != NONE for entry in row[1:])]
    if not rows:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _rows(found, entries):
    return [[BY_NAME[cell].title, *entries(cell)] for cell in found.cells]


def own_client(found):
    head = ["with `timedisk bench`", "timedisk", "of the limit", *PEERS, *NEIGHBOURS]
    return _table(head, _rows(found, lambda cell: [
        speed(found, cell, "timedisk", BENCH),
        _percent(found, cell, GROUP if BY_NAME[cell].fua else EXCHANGE),
        *(_times(found, cell, BENCH, peer, BENCH) for peer in PEERS),
        *(_times(found, cell, BENCH, peer, FIO) for peer in NEIGHBOURS)]))


def libiscsi(found):
    head = ["with libiscsi", "timedisk", *PEERS, "client's load on a CPU"]

    def entries(cell):
        load = found.median(cell, "timedisk", LIBISCSI, figures.client_load)
        return [speed(found, cell, "timedisk", LIBISCSI),
                *(_times(found, cell, LIBISCSI, peer, LIBISCSI) for peer in PEERS),
                NONE if load is None else f"{load:.0%}"]
    return _table(head, _rows(found, entries))


def limits(found):
    head = ["limits", "exchange over TCP", "file, one thread", "one TCP stream", "writes and one fdatasync"]
    return _table(head, _rows(found, lambda cell: [speed(found, cell, limit, limit)
                                                   for limit in (EXCHANGE, FILE, STREAM, GROUP)]))


def _columns():
    ours = [("timedisk", BENCH), *((peer, BENCH) for peer in PEERS), *((peer, FIO) for peer in NEIGHBOURS)]
    return [*ours, (EXCHANGE, EXCHANGE)]


def latency(found):
    head = ["p50 / p99 in µs", "timedisk", *PEERS, *NEIGHBOURS, "exchange"]

    def entry(cell, server, client):
        p50 = found.median(cell, server, client, lambda sample: sample.p50_us)
        p99 = found.median(cell, server, client, lambda sample: sample.p99_us)
        return NONE if p50 is None else f"{number(p50)} / {number(p99)}"
    return _table(head, _rows(found, lambda cell: [entry(cell, *column) for column in _columns()]))


def server_cpu(found):
    head = ["server's CPU seconds", "timedisk", *PEERS, *NEIGHBOURS, "exchange", "per"]

    def entries(cell):
        values = [found.median(cell, *column, figures.server_cpu_cost) for column in _columns()]
        if not any(values):
            return [NONE] * (len(head) - 1)
        return [*(number(value) for value in values), "million" if BY_NAME[cell].small else "GiB"]
    return _table(head, _rows(found, entries))


def all_tables(found):
    return "\n".join(filter(None, (make(found) for make in (own_client, libiscsi, limits, latency, server_cpu))))


def in_short(found):
    """For a terminal: one line for each figure."""
    lines = []
    for cell in found.cells:
        keys = [(server, BENCH) for server in ("timedisk", *PEERS)] + [(server, LIBISCSI) for server in
                                                                       ("timedisk", *PEERS)]
        keys += [(server, FIO) for server in NEIGHBOURS] + [(limit, limit) for limit in clients.LIMITS]
        for server, client in keys:
            shown = speed(found, cell, server, client)
            if shown != NONE:
                with_client = "" if server == client else f"with {client}"
                lines.append(f"{cell:22} {server:14} {with_client:20} {shown:>16}")
    return "\n".join(lines)
