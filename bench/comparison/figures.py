"""Medians over rounds, and medians of the ratios within each round."""

import collections
import statistics

from .cells import BY_NAME


class Figures:
    """All samples of a run, by cell, server and client."""

    def __init__(self, samples):
        self._samples = collections.defaultdict(dict)
        self.errors = {}
        for sample in samples:
            key = (sample.cell, sample.server, sample.client)
            if sample.error:
                self.errors[key] = sample.error
            else:
                self._samples[key][sample.round] = sample
        self.cells = [name for name in BY_NAME if any(key[0] == name for key in (*self._samples, *self.errors))]

    def of(self, cell, server, client):
        """The good samples, by round."""
        return self._samples.get((cell, server, client), {})

    def median(self, cell, server, client, value):
        """The median over rounds of what `value` makes of a sample; None where there is none."""
        found = [value(sample) for sample in self.of(cell, server, client).values()]
        return statistics.median(found) if found and None not in found else None

    def ratio(self, one, other, value):
        """The median over rounds of `value` of one divided by that of the other; each is (cell, server, client)."""
        ours, theirs = self.of(*one), self.of(*other)
        pairs = [(value(ours[number]), value(theirs[number])) for number in ours if number in theirs]
        found = [a / b for a, b in pairs if a is not None and b]
        return statistics.median(found) if found else None


def rate(sample):
    """Commands a second."""
    return sample.rate


def mean_latency(sample):
    """Seconds from a command's start to its end, on the average, where one is under way at a time."""
    return 1 / sample.rate


def commands_per_cpu_second(sample):
    """Of the server. None if the server's time was too short to be counted."""
    return sample.commands / sample.server_cpu if sample.server_cpu else None


def server_cpu_cost(sample):
    """The server's CPU seconds per million commands in a cell of small blocks, per GiB otherwise."""
    if sample.server_cpu is None or not sample.commands:
        return None
    cell = BY_NAME[sample.cell]
    amount = sample.commands / 1e6 if cell.small else sample.commands * cell.block / (1 << 30)
    return sample.server_cpu / amount


def client_load(sample):
    """How busy the client was: 1 is a whole CPU."""
    return sample.client_cpu / sample.seconds
