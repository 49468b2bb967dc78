"""FUA: writes that must be on the disk before they are answered, against a bare loop of pwrite and fdatasync."""

import os
import random
import time

from . import clients, ledger, place, servers
from .clients import Load
from .result import median, spread

BLOCK, SPAN = 4096, 256 << 20


def run(found):
    seconds = 0.7 if found.quick else 1.5
    directory = place.fresh("images")
    image = place.filled(directory / "disk", SPAN)
    targets = [servers.timedisk([image]), servers.peer("tgt", place.filled(directory / "tgt", SPAN))]
    for client in clients.available():
        for qd in (32, 1):
            compare(found, client, targets, image, qd, seconds)
        count_syncs(found, client, targets[0], seconds)
    for server in targets:
        server.end()


def compare(found, client, targets, image, qd, seconds):
    """Rounds of the bare loop and of each target, interleaved; QD1 is judged by its latency."""
    load = Load("write", BLOCK, qd, seconds, span=SPAN, fua=True)
    ratios = {server.kind: [] for server in targets}
    bare_rates = []
    for _ in range(found.rounds(7)):
        for server in targets:
            before = bare(image, qd, seconds / 2)
            rate = clients.measure(client, server.url, load)["commands_per_second"]
            after = bare(image, qd, seconds / 2)
            bare_rates += [before, after]
            ratios[server.kind].append(rate / ((before + after) / 2))
    found.add(f"bare loop of {qd} pwrite and one fdatasync", median(bare_rates), "/s", note=spread(bare_rates))
    for kind, values in ratios.items():
        if qd == 1:
            values = [1 / value for value in values]
        what = "latency" if qd == 1 else "rate"
        goal = {} if kind != "timedisk" else {"at_most": 1.15} if qd == 1 else {"at_least": 0.8}
        found.add(f"{kind}: {what}, {load}, {client}", median(values), "bare", note=spread(values), **goal)


def bare(image, qd, seconds):
    """Writes a second of a loop without any network."""
    block, choose = os.urandom(BLOCK), random.Random(1)
    places = [choose.randrange(SPAN // BLOCK) * BLOCK for _ in range(1 << 14)]
    file = os.open(image, os.O_RDWR)
    try:
        start, done = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            for _ in range(qd):
                os.pwrite(file, block, places[done % len(places)])
                done += 1
            os.fdatasync(file)
        return done / (time.monotonic() - start)
    finally:
        os.close(file)


def count_syncs(found, client, server, seconds):
    load = Load("write", BLOCK, 32, seconds, span=SPAN, fua=True)
    counter = ledger.SystemCalls(server.pid)
    commands = clients.measure(client, server.url, load)["commands"]
    syncs = counter.end()["sync"]
    found.add(f"commands for a sync, {load}, {client}", commands / max(syncs, 1), at_least=16, note=f"{syncs} syncs")
