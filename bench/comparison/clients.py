"""The clients that load servers, and the limits beside them. Each measures one cell, and answers alike."""

import contextlib
import json

from . import processes

BENCH, LIBISCSI, FIO = "timedisk bench", "libiscsi", "fio"
# What is measured without a server: the exchange over TCP, the file by itself, TCP by itself.
EXCHANGE, FILE, STREAM, GROUP = "exchange", "file", "stream", "group commit"
LIMITS = [EXCHANGE, FILE, STREAM, GROUP]
# Seconds that a client may take beyond its measuring.
LIMIT = 10


class Clients:
    """How to run each client for some seconds."""

    def __init__(self, scratch, disk, binary, seconds, span):
        self.scratch, self.disk, self.binary, self.seconds = scratch, disk, binary, seconds
        self.span = span
        self._run = {BENCH: self._bench, LIBISCSI: self._libiscsi, FIO: self._fio, EXCHANGE: self._exchange,
                     FILE: self._file, STREAM: self._stream, GROUP: self._group}

    def measure(self, client, server, cell, seed):
        """Runs a client. The result has the keys of `timedisk bench --json`. Failed if it did not work."""
        before = processes.cpu_seconds(server.pid) if server else 0.0
        try:
            result = self._run[client](server, cell, seed)
        except (ValueError, KeyError, IndexError) as error:
            raise processes.Failed(f"{client} gave no figures: {error}") from None
        if server:
            with contextlib.suppress(OSError, IndexError):
                around = processes.cpu_seconds(server.pid) - before
                result["server"] = result.get("server") or {"cpu_seconds": around}
        return result

    def _json(self, command):
        return json.loads(processes.output(command, self.seconds + LIMIT))

    def _bench(self, server, cell, _seed):
        words = [self.binary, "bench", server.url, "--rw", cell.rw, "--bs", cell.block, "--qd", cell.depth]
        words += ["--sessions", cell.sessions, "--seq" if cell.sequential else "--random", "--digest", cell.digest]
        words += ["--time", self.seconds, "--span", self.span(cell), "--server-pid", server.pid, "--json"]
        return self._json(words + (["--fua"] if cell.fua else []))

    def _native(self, tool, cell, seed):
        order = "seq" if cell.sequential else "random"
        return [self.scratch.tool(tool), f"rw={cell.rw}", f"bs={cell.block}", f"seconds={self.seconds}",
                f"order={order}", f"span={self.span(cell)}", f"seed={seed}"]

    def _libiscsi(self, server, cell, seed):
        words = self._native("libiscsi", cell, seed)
        return self._json([*words, f"url={server.url}", f"qd={cell.depth}", f"sessions={cell.sessions}",
                           f"digest={cell.digest}", f"fua={int(cell.fua)}"])

    def _exchange(self, _server, cell, seed):
        return self._json([*self._native("exchange", cell, seed), f"file={self.disk.path}", f"qd={cell.depth}"])

    def _file(self, _server, cell, seed):
        return self._json([*self._native("file", cell, seed), f"file={self.disk.path}"])

    def _group(self, _server, cell, seed):
        return self._json([*self._native("file", cell, seed), f"file={self.disk.path}", f"group={cell.depth}"])

    def _stream(self, _server, cell, _seed):
        return self._json([self.scratch.tool("stream"), f"bs={cell.block}", f"seconds={self.seconds}"])

    def _fio(self, server, cell, seed):
        order = {"read": "read", "write": "write", "mixed": "rw"}[cell.rw]
        words = ["fio", "--name=cell", "--ioengine=nbd", f"--uri={server.url}", "--thread", "--group_reporting",
                 f"--rw={'' if cell.sequential else 'rand'}{order}", "--rwmixread=70", f"--bs={cell.block}",
                 f"--iodepth={cell.depth}", f"--numjobs={cell.sessions}", "--time_based",
                 f"--runtime={int(self.seconds * 1000)}ms", f"--size={self.span(cell)}",
                 "--norandommap", f"--randseed={seed + 1}", "--invalidate=0", "--output-format=json"]
        if cell.sequential and cell.sessions > 1:
            words.append(f"--offset_increment={self.span(cell) // cell.sessions}")
        return fio_result(processes.output(words, self.seconds + LIMIT), cell)


def fio_result(text, cell):
    """What fio says, in the words of `timedisk bench`. Of a mixed load, the latency is that of the reads."""
    job = json.loads(text[text.index("{"):])["jobs"][0]
    if job["error"]:
        raise processes.Failed(f"fio: error {job['error']}")
    sides = [job[side] for side in ("read", "write") if job[side]["total_ios"]]
    rate, seconds = sum(side["iops"] for side in sides), max(side["runtime"] for side in sides) / 1000
    percentiles = {"p50": "50.000000", "p90": "90.000000", "p99": "99.000000", "p999": "99.900000"}
    latency = {ours: sides[0]["clat_ns"]["percentile"][theirs] / 1000 for ours, theirs in percentiles.items()}
    cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
    return {"commands": sum(side["total_ios"] for side in sides), "seconds": seconds, "commands_per_second": rate,
            "bytes_per_second": rate * cell.block, "latency_us": latency, "client_cpu_seconds": cpu}


def fits(client, server, cell):
    """Whether a client can do what a cell asks for, with this server."""
    if client == BENCH:
        # tgt's rdwr is the only peer that syncs before it answers a write with FUA
        return not (cell.fua and server == "istgt")
    if client == LIBISCSI:
        return cell.digest in ("none", "header") and not (cell.fua and server == "istgt")
    if client == FIO:
        return cell.digest == "none" and not cell.fua
    plain = cell.sessions == 1 and cell.digest == "none" and cell.rw != "mixed"
    if client == GROUP:
        return cell.fua
    if client == STREAM:
        return plain and cell.sequential and not cell.cold and cell.rw == "read"
    return plain and not cell.fua
