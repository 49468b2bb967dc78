"""Growth: the rate of commands is the same with many targets, many sessions and large disks."""

import contextlib
import dataclasses

from . import clients, ledger, place, servers
from .clients import Load
from .result import median, spread

GIBIBYTE, DATA = 1 << 30, 256 << 20
FLAT = 0.9
TARGETS, SESSIONS, SIZES = (1, 10, 100, 1000), (1, 4, 16, 64), (GIBIBYTE, 64 * GIBIBYTE, 1 << 40, 8 << 40)
LOADS = [Load(rw, qd=32, seconds=0.7, span=DATA) for rw in ("read", "write")]


def run(found):
    directory = place.fresh("images")
    others = [place.sparse(directory / f"other{number}", GIBIBYTE) for number in range(sum(TARGETS))]
    with contextlib.ExitStack() as stack:
        cases = {}
        for count in TARGETS:
            disks = [others.pop() for _ in range(count - 1)] + [place.filled(directory / f"used{count}", DATA)]
            server = stack.enter_context(servers.timedisk(disks))
            cases[count] = (server, server.urls[-1], 1)
        compare(found, "targets", cases)
    with contextlib.ExitStack() as stack:
        cases = {}
        for size in SIZES:
            disk = place.sparse(place.filled(directory / f"large{size}", DATA), size)
            server = stack.enter_context(servers.timedisk([disk]))
            cases[size >> 30] = (server, server.url, 1)
        compare(found, "GiB", cases)
    sizes = [DATA, *[DATA // 8] * (max(SESSIONS) - 1)]
    disks = [place.filled(directory / f"shared{number}", size) for number, size in enumerate(sizes)]
    with servers.timedisk(disks) as server:
        compare(found, "sessions on one disk", {count: (server, server.url, count) for count in SESSIONS})
        own = {count: (server, server.urls[:count], count) for count in SESSIONS}
        compare(found, "sessions on disks of their own", own, clients.LIBISCSI)


def compare(found, unit, cases, client=None):
    """Rounds over all cases, each of which has a server, one of its disks (or several), and a number of sessions."""
    first, *larger = cases
    # The client on libiscsi has one thread for all of its sessions: of many, it would be the client that is judged.
    client = client or clients.available()[0]
    judged = client == clients.BENCH or "sessions" not in unit
    for load in LOADS:
        rates, costs = {case: [] for case in cases}, {case: [] for case in cases}
        for number in range(found.rounds(7) + 1):
            for case, (server, url, sessions) in cases.items():
                before = ledger.processor_seconds(server.pid)
                done = clients.measure(client, url, dataclasses.replace(load, sessions=sessions))
                if number > 0:  # the first round warms up
                    rates[case].append(done["commands_per_second"])
                    costs[case].append((ledger.processor_seconds(server.pid) - before) / done["commands"] * 1e6)
        found.add(f"{load}, {first} {unit}, {client}", median(rates[first]), "/s",
                  note=f"server {median(costs[first]):.2f} us of CPU each")
        for case in larger:
            ratios = [many / one for many, one in zip(rates[case], rates[first])]
            note = f"{spread(ratios)}, server {median(costs[case]):.2f} us of CPU each"
            found.add(f"{load}, {case} {unit}, {client}", median(ratios), f"of {first}",
                      at_least=FLAT if judged else None, note=note)
