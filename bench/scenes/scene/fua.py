"""FUA: writes that must be on the disk before they are answered, against a bare loop of pwrite and fdatasync.

Disks of rented machines take bursts, and are held back afterwards; so each slice is short, and each has the same rest
before it. One write at a time is judged by the median of its latency, which bursts and stalls of the disk leave alone.
On a machine that is busy otherwise a real disk tells little: the kernel's thread that sends a flush then waits for a
processor, for 4 ms here. So there is a second disk, which takes one millisecond for a sync, neither more nor less.
"""

import os
import random
import time

from . import clients, ledger, place, servers
from .clients import Load
from .result import median, spread
from .slowdisk import SlowDisk

BLOCK, SPAN = 4096, 256 << 20
SLICE, REST = 0.25, 0.25
STEADY = "sync of 1 ms: "


def run(found):
    directory = place.fresh("images")
    image = place.filled(directory / "disk", SPAN)
    targets = [servers.timedisk([image]), servers.peer("tgt", place.filled(directory / "tgt", SPAN))]
    for client in clients.available():
        for qd in (32, 1):
            compare(found, client, targets, image, qd)
        count_syncs(found, client, targets[0])
    for server in targets:
        server.end()
    with SlowDisk(SPAN, sync_microseconds=1000) as disk, servers.timedisk([disk.image]) as server:
        for client in clients.available():
            for qd in (32, 1):
                compare(found, client, [server], disk.image, qd, STEADY)
            count_syncs(found, client, server, STEADY)


def compare(found, client, targets, image, qd, disk=""):
    """Rounds of the bare loop and of each target, interleaved."""
    load = Load("write", BLOCK, qd, SLICE, span=SPAN, fua=True)
    ratios = {server.kind: [] for server in targets}
    bares = []
    for _ in range(found.rounds(15)):
        bares.append(bare(image, qd))
        for server in targets:
            time.sleep(REST)
            done = clients.measure(client, server.url, load)
            rate = 1e6 / done["latency_us"]["p50"] if qd == 1 else done["commands_per_second"]
            ratios[server.kind].append(rate / bares[-1])
    found.add(f"{disk}bare loop of {qd} pwrite and one fdatasync", median(bares), "/s", note=spread(bares))
    for kind, values in ratios.items():
        if qd == 1:
            values = [1 / value for value in values]
        what = "median latency" if qd == 1 else "rate"
        goal = {} if kind != "timedisk" else {"at_most": 1.15} if qd == 1 else {"at_least": 0.8}
        found.add(f"{disk}{kind}: {what}, {load}, {client}", median(values), "bare", note=spread(values), **goal)


def bare(image, qd):
    """Writes a second of a loop without any network; from the median of its turns, if they have one write."""
    block, choose = os.urandom(BLOCK), random.Random()
    places = [choose.randrange(SPAN // BLOCK) * BLOCK for _ in range(1 << 14)]
    time.sleep(REST)
    file = os.open(image, os.O_RDWR)
    try:
        turns, done = [time.monotonic()], 0
        while turns[-1] - turns[0] < SLICE:
            for _ in range(qd):
                os.pwrite(file, block, places[done % len(places)])
                done += 1
            os.fdatasync(file)
            turns.append(time.monotonic())
    finally:
        os.close(file)
    if qd == 1:
        return 1 / median([after - before for before, after in zip(turns, turns[1:])])
    return done / (turns[-1] - turns[0])


def count_syncs(found, client, server, disk=""):
    """How many writes share a sync, over a run that is long enough for its first and last writes not to count."""
    load = Load("write", BLOCK, 32, 2, span=SPAN, fua=True)
    counter = ledger.SystemCalls(server.pid)
    commands = clients.measure(client, server.url, load)["commands"]
    syncs = counter.end()["sync"]
    found.add(f"{disk}writes for a sync, {load}, {client}", commands / max(syncs, 1), at_least=16, note=f"{syncs} syncs")
