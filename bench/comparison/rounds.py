"""Interleaved rounds: in each round, each cell is measured with every contender in turn."""

import collections
import dataclasses

from . import clients, processes, servers


@dataclasses.dataclass
class Sample:
    """One contender in one cell of one round. Times in seconds unless they say otherwise; `error` is why there are
    no figures."""
    round: int
    cell: str
    server: str
    client: str
    rate: float = 0.0
    bytes_per_second: float = 0.0
    commands: int = 0
    seconds: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    client_cpu: float = 0.0
    server_cpu: float | None = None
    error: str | None = None


def contenders(cell, names, which_clients):
    """The (server, client) pairs for a cell. A limit is its own client, and has no server."""
    pairs = [(server, client) for client in (clients.BENCH, clients.LIBISCSI) for server in servers.ISCSI]
    pairs += [(server, clients.FIO) for server in servers.NBD]
    chosen = [(server, client) for server, client in pairs
              if server in names and client in which_clients and clients.fits(client, server, cell)]
    return chosen + [(None, limit) for limit in clients.LIMITS
                     if limit in which_clients and clients.fits(limit, None, cell)]


def measure(client, server, cell, number, run):
    """One sample, with the disk in the state that the cell asks for."""
    run.disk.prepare(cell)
    sample = Sample(number, cell.name, server.name if server else client, client)
    try:
        result = run.clients.measure(client, server, cell, number)
    except processes.Failed as failure:
        sample.error = str(failure)
        return sample
    latency, host = result["latency_us"], result.get("server")
    sample.rate, sample.bytes_per_second = result["commands_per_second"], result["bytes_per_second"]
    sample.commands, sample.seconds = result["commands"], result["seconds"]
    sample.p50_us, sample.p99_us = latency["p50"], latency["p99"]
    sample.client_cpu = result["client_cpu_seconds"]
    sample.server_cpu = host["cpu_seconds"] if host else None
    return sample


# After so many failures a contender is not tried again in a cell: each may have cost a time limit.
MOST_FAILURES = 2


@dataclasses.dataclass
class Run:
    """What a run works with: the servers that are up, by name."""
    disk: object
    clients: object
    servers: dict
    which_clients: list
    failures: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def rounds(self, cells, count, report):
        """Gives every sample as it is made. `report` is told of failures and of the progress."""
        for number in range(count):
            for cell in cells:
                pairs = contenders(cell, self.servers, self.which_clients)
                self.disk.begin(cell)
                for name, client in pairs if number % 2 == 0 else reversed(pairs):
                    if self.failures[cell, name, client] >= MOST_FAILURES:
                        continue
                    sample = measure(client, self.servers.get(name), cell, number, self)
                    if sample.error:
                        self.failures[cell, name, client] += 1
                        report(f"round {number + 1}, {cell.name}, {sample.server}: {sample.error}")
                    yield sample
            report(f"round {number + 1} of {count} is done")
