"""Clients that put load on a disk: `timedisk bench`, and one of our own on libiscsi. Both answer alike."""

import dataclasses
import json
import subprocess
import sys

from . import place, process

LIBISCSI, BENCH = "libiscsi", "timedisk bench"


@dataclasses.dataclass(frozen=True)
class Load:
    """What to do: sizes in bytes, time in seconds."""
    rw: str = "read"
    bs: int = 4096
    qd: int = 1
    seconds: float = 1.0
    sessions: int = 1
    order: str = "random"
    span: int = 0
    fua: bool = False

    def __str__(self):
        size = f"{self.bs >> 20}M" if self.bs >= 1 << 20 else f"{self.bs >> 10}K"
        fua = " FUA" if self.fua else ""
        sessions = f" x{self.sessions}" if self.sessions > 1 else ""
        return f"{self.order} {self.rw}{fua} {size} QD{self.qd}{sessions}"


def has_bench():
    """Whether there is a program with this subcommand."""
    done = subprocess.run([place.bench or place.binary, "bench", "--help"], capture_output=True, check=False)
    return done.returncode == 0


def available():
    """The clients that are here."""
    return [BENCH, LIBISCSI] if has_bench() else [LIBISCSI]


def command(client, urls, load):
    if client == LIBISCSI:
        return [place.tool("load", "-liscsi"), *[f"url={url}" for url in urls], f"rw={load.rw}", f"bs={load.bs}",
                f"qd={load.qd}", f"sessions={load.sessions}", f"seconds={load.seconds}", f"order={load.order}",
                f"span={load.span}", f"fua={int(load.fua)}"]
    words = [place.bench or place.binary, "bench", urls[0], "--rw", load.rw, "--bs", load.bs, "--qd", load.qd,
             "--sessions", load.sessions, "--time", load.seconds, "--seq" if load.order == "seq" else "--random",
             "--json"]
    return words + (["--span", load.span] if load.span else []) + (["--fua"] if load.fua else [])


def begin(client, url, load, inside=()):
    """Starts a client; `finish` gives what it measured."""
    urls = [url] if isinstance(url, str) else list(url)
    return process.start([*inside, *command(client, urls, load)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)


def finish(running, load):
    try:
        out, err = running.communicate(timeout=load.seconds + 90)
    except subprocess.TimeoutExpired:
        process.end(running, 1)
        raise process.Failed(f"a client did not end in time: {load}") from None
    process.end(running)
    if running.returncode != 0:
        raise process.Failed(f"a client failed at {load}: {err.strip() or out.strip()}")
    return json.loads(out)


def measure(client, url, load, inside=()):
    """Runs a client. One that has not seen a single answer in its time has measured nothing, and is given more of it."""
    for more in (1, 5, 25):
        longer = dataclasses.replace(load, seconds=load.seconds * more)
        result = finish(begin(client, url, longer, inside), longer)
        if result["commands"] > 0:
            return result
    raise process.Failed(f"no command was answered within {longer.seconds} seconds: {load}")


class Stream:
    """The far end of plain TCP streams over a link, which say what the link carries."""

    def __init__(self, link, address):
        self.link, self.address, self.port = link, address, place.free_port()
        self.running = process.start([*link.server, sys.executable, place.HERE / "stream.py", "listen", address,
                                      self.port], stdout=subprocess.PIPE, text=True)
        if self.running.stdout.readline().strip() != "ready":
            raise process.Failed("the plain TCP stream's far end did not start")

    def rate(self, rw, seconds):
        """Bytes of payload a second, in the direction in which a read's or a write's data go."""
        what = "receive" if rw == "read" else "send"
        return float(process.output([*self.link.client, sys.executable, place.HERE / "stream.py", what, self.address,
                                     self.port, seconds], seconds + 30))

    def end(self):
        process.end(self.running)
