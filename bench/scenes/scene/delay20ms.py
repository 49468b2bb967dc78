"""A line of 1 Gbit/s with a round trip of 20 ms: sequential reads and writes, with everybody's defaults."""

from . import clients, link100, network
from .clients import Load
from .result import median, spread

MEBIBYTE = 1 << 20
MEGABITS, GOAL = 1000, 0.80
CELLS = [(rw, bs, qd) for rw in ("read", "write") for bs, qd in ((MEBIBYTE, 32), (256 << 10, 32), (MEBIBYTE, 8))]


def run(found):
    seconds = 2 if found.quick else 3
    with network.delayed(MEGABITS, 20) as link:
        targets = link100.start(link.server)
        stream = clients.Stream(link, network.SERVER)
        for rw in ("read", "write"):
            rate = median([stream.rate(rw, seconds) for _ in range(found.rounds(2))])
            found.add(f"plain TCP stream, as for a {rw}", rate / 1e6, "MB/s")
        for client in clients.available():
            for rw, bs, qd in CELLS:
                load = Load(rw, bs, qd, seconds, order="seq", span=512 * MEBIBYTE)
                for server in targets:
                    shares = [clients.measure(client, server.url, load, link.client)["bytes_per_second"] * 8 /
                              (MEGABITS * 1e6) for _ in range(found.rounds(3))]
                    goal = {"at_least": GOAL} if server.kind == "timedisk" else {}
                    found.add(f"{server.kind}: {load}, {client}", median(shares), "of line", note=spread(shares),
                              **goal)
        stream.end()
        for server in targets:
            server.end()
