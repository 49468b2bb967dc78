"""Counts the syncs that timedisk makes for FUA writes."""

import re

from . import servers
from .cells import BY_NAME
from .clients import BENCH

# Only these calls stop for strace, so the rest goes at its usual speed. With -D, the process that is started is the
# server, and ends as one.
STRACE = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fdatasync,fsync,sync_file_range,pwritev2"]
SYNC = re.compile(r"\b(fdatasync|fsync|sync_file_range)\(|RWF_D?SYNC")


def count(disk, scratch, binary, clients):
    """Syncs and commands of one run of FUA writes with 32 under way, on a server of its own."""
    trace = scratch.path / "syncs.trace"
    server = servers.timedisk(disk, scratch.directory("timedisk-traced"), binary, [*STRACE, "-o", trace])
    cell = BY_NAME["4k-write-fua-q32"]
    try:
        before = _syncs(trace)
        result = clients.measure(BENCH, server, cell, 0)
        return {"syncs": _syncs(trace) - before, "commands": result["commands"]}
    finally:
        server.end()


def _syncs(trace):
    """An interrupted call has a second line, `<... fdatasync resumed>)`, which does not count."""
    return len(SYNC.findall(trace.read_text(errors="replace"))) if trace.exists() else 0
