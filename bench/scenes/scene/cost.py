"""What serving costs: system calls for a command, memory of idle sessions, the time of a start."""

import contextlib
import resource
import time

from . import clients, ledger, place, process, servers, wire
from .clients import Load
from .result import median, spread

MEBIBYTE = 1 << 20
LOADS = [Load(rw, bs, qd, order="random" if bs == 4096 else "seq") for rw in ("read", "write")
         for bs, qd in ((4096, 1), (4096, 32), (4096, 128), (MEBIBYTE, 8))]


def run(found):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    image = place.filled(place.fresh("images") / "disk", 512 * MEBIBYTE)
    system_calls(found, image)
    memory(found, image)
    busy_beside_idle(found, image)
    starts(found)


def system_calls(found, image):
    """Counted over a whole run of a client, login and all. What one receive brings is a batch."""
    for client in clients.available():
        with servers.timedisk([image]) as server:
            for load in LOADS:
                counter = ledger.SystemCalls(server.pid)
                done = clients.measure(client, server.url, load)
                counts = counter.end()
                each = {group: count / done["commands"] for group, count in counts.items()}
                note = ", ".join(f"{group} {rate:.3f}" for group, rate in each.items() if rate >= 0.0005)
                found.add(f"system calls, {load}, {client}", each["all"], "each", note=note)
                if load.bs == 4096:
                    batches = counts["receive"] - counts["receive in vain"]
                    found.add(f"receives for a batch, {load}, {client}", counts["receive"] / batches, at_most=1.05)
                    found.add(f"sends for a batch, {load}, {client}", counts["send"] / batches, at_most=1.05)


def memory(found, image):
    with servers.timedisk([image]) as server:
        alone = ledger.resident(server.pid)
        found.add("resident memory, no session", alone / MEBIBYTE, "MiB")
        for count, goal in ((10, 16), (1000, 200)):
            idle = wire.sessions(server.url, count)
            time.sleep(0.5)
            now = ledger.resident(server.pid)
            note = f"{(now - alone) / count / 1024:.1f} KiB each, {ledger.threads(server.pid)} threads"
            found.add(f"resident memory, {count} idle sessions", now / MEBIBYTE, "MiB", at_most=goal, note=note)
            for session in idle:
                session.close()
            time.sleep(0.5)
        for load in (Load("read", 256 << 10, 32, 1.0, 10), Load("write", 256 << 10, 32, 1.0, 10)):
            clients.measure(clients.LIBISCSI, server.url, load)
        time.sleep(1)
        found.add("resident memory, after 10 busy sessions have gone", ledger.resident(server.pid) / MEBIBYTE, "MiB")


def busy_beside_idle(found, image):
    load = Load("read", 4096, 32, 1.0)
    client = clients.available()[0]
    ratios = []
    with servers.timedisk([image]) as server:
        clients.measure(client, server.url, load)
        for _ in range(found.rounds(5)):
            alone = clients.measure(client, server.url, load)["commands_per_second"]
            with contextlib.ExitStack() as stack:
                for session in wire.sessions(server.url, 1000):
                    stack.callback(session.close)
                time.sleep(0.2)
                ratios.append(clients.measure(client, server.url, load)["commands_per_second"] / alone)
            time.sleep(0.3)
    found.add(f"{load} beside 1000 idle sessions, {client}", median(ratios), "of alone", at_least=0.95,
              note=spread(ratios))


def starts(found):
    """From the start of the process to the answer to a login, with a file of 1,000 targets."""
    count = 1000
    directory = place.fresh("thousand")
    lines = [f"extent{i} {directory}/disk{i} 0 1GB\n" for i in range(count)]
    lines += [f"target{i}=iqn.2026-01.scene:disk{i} rw extent{i} 127.0.0.1/32\n" for i in range(count)]
    (directory / "targets").write_text("".join(lines))
    first = start_to_login(directory)
    found.add("first start to serving 1000 targets (images made)", first * 1e3, "ms")
    again = [start_to_login(directory) * 1e3 for _ in range(found.rounds(5))]
    found.add("start to serving 1000 targets", median(again), "ms", at_most=100, note=spread(again))


def start_to_login(directory):
    port = place.free_port()
    command = [place.binary, "serve", "-f", directory / "targets", "--listen", f"127.0.0.1:{port}"]
    with open(directory / "log", "wb") as log:
        start = time.monotonic()
        running = process.start([*command, "--state", directory / "state"], stdout=log, stderr=log)
        url = f"iscsi://127.0.0.1:{port}/iqn.2026-01.scene:disk999/0"
        while True:
            try:
                wire.Session(url).close()
                break
            except ConnectionRefusedError:
                if running.poll() is not None or time.monotonic() - start > 60:
                    said = (directory / "log").read_text()[-200:]
                    raise process.Failed(f"1000 targets were not served: {said}") from None
                time.sleep(0.001)
        took = time.monotonic() - start
    process.end(running)
    return took
