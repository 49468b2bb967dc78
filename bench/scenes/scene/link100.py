"""A link of 100 Mbit/s: sequential reads and writes reach what one plain TCP stream does."""

from . import clients, network, place, servers
from .clients import Load
from .result import median, spread

MEBIBYTE = 1 << 20
GOAL = 0.97
CELLS = [(rw, bs, qd) for rw in ("read", "write") for bs in (MEBIBYTE, 256 << 10) for qd in (8, 1)]


def run(found):
    seconds = 2 if found.quick else 4
    with network.shaped(100) as link:
        targets = start(link.server)
        stream = clients.Stream(link, network.SERVER)
        plain = {rw: median([stream.rate(rw, seconds) for _ in range(found.rounds(2))]) for rw in ("read", "write")}
        for rw, rate in plain.items():
            found.add(f"plain TCP stream, as for a {rw}", rate / 1e6, "MB/s")
        for client in clients.available():
            for rw, bs, qd in CELLS:
                load = Load(rw, bs, qd, seconds, order="seq", span=512 * MEBIBYTE)
                for server in targets:
                    ratios = [clients.measure(client, server.url, load, link.client)["bytes_per_second"] / plain[rw]
                              for _ in range(found.rounds(3))]
                    goal = {"at_least": GOAL} if server.kind == "timedisk" else {}
                    found.add(f"{server.kind}: {load}, {client}", median(ratios), "of TCP", note=spread(ratios), **goal)
        stream.end()
        for server in targets:
            server.end()


def start(inside):
    """timedisk and its peers at one end of a link, each with a disk of its own."""
    directory = place.fresh("images")
    images = {kind: place.filled(directory / kind, 512 * MEBIBYTE) for kind in ("timedisk", *servers.PEERS)}
    targets = [servers.timedisk([images["timedisk"]], network.SERVER, inside)]
    return targets + [servers.peer(kind, images[kind], network.SERVER, inside) for kind in servers.PEERS]
