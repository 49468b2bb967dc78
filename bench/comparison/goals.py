"""What timedisk is held to, judged by the medians of one run."""

import dataclasses

from . import clients, figures
from .clients import BENCH, EXCHANGE, GROUP, LIBISCSI

# A client of one thread that has this much of a CPU is what limits the rate.
CLIENT_IS_THE_LIMIT = 0.85
PEERS = ["tgt", "istgt"]


@dataclasses.dataclass
class Verdict:
    """One goal: `value` has to be at least, or at most, `bound`. No value means that it was not measured."""
    number: int
    what: str
    value: float | None
    bound: float
    at_most: bool = False
    note: str = ""

    @property
    def met(self):
        if self.value is None:
            return False
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self):
        sign = "≤" if self.at_most else "≥"
        figure = "not measured" if self.value is None else f"{self.value:.2f}"
        note = f"  ({self.note})" if self.note else ""
        word = "met  " if self.met else "SHORT"
        return f"{word}  {self.number}  {self.what}: {figure}, goal {sign} {self.bound:g}{note}"


class Judge:
    """Compares timedisk's samples with the others of the same rounds."""

    def __init__(self, found, syncs=None):
        self.found, self.syncs = found, syncs

    def verdicts(self):
        return [*self._random(), *self._with_libiscsi(), *self._sequential(), *self._latency(), *self._digests(),
                *self._fua(), *self._never_behind()]

    def _against(self, cell, other, client=BENCH, value=figures.rate):
        theirs = other if other in clients.LIMITS else client
        return self.found.ratio((cell, "timedisk", client), (cell, other, theirs), value)

    def _random(self):
        for cell in ("4k-read-q32", "4k-read-q128"):
            yield Verdict(1, f"{cell}, of the limit", self._against(cell, EXCHANGE), 0.6)
        yield Verdict(1, "4k-read-q32, times tgt", self._against("4k-read-q32", "tgt"), 5)
        yield Verdict(1, "4k-write-q32, times tgt", self._against("4k-write-q32", "tgt"), 3)

    def _for_libiscsi(self, cell, peer):
        """The ratio of rates; where the client is the limit, of commands per CPU second of the server, if better."""
        ratio = self._against(cell, peer, LIBISCSI)
        busy = self.found.median(cell, "timedisk", LIBISCSI, figures.client_load)
        if ratio is None or busy is None or busy < CLIENT_IS_THE_LIMIT:
            return ratio, ""
        thrift = self._against(cell, peer, LIBISCSI, figures.commands_per_cpu_second)
        if thrift is None or thrift <= ratio:
            return ratio, ""
        return thrift, f"per CPU second of the server: the client is the limit; in rate {ratio:.2f}"

    def _with_libiscsi(self):
        for cell in ("4k-read-q32", "4k-write-q32", "4k-read-q128", "4k-write-q128"):
            for peer, bound in (("tgt", 3), ("istgt", 2)):
                value, note = self._for_libiscsi(cell, peer)
                yield Verdict(1, f"{cell} with libiscsi, times {peer}", value, bound, note=note)

    def _sequential(self):
        for cell in ("1m-read", "1m-write", "256k-read", "256k-write"):
            yield Verdict(2, f"{cell}, of the limit", self._against(cell, EXCHANGE), 0.8)
        for cell in ("1m-read", "1m-write"):
            yield Verdict(2, f"{cell}, times tgt", self._against(cell, "tgt"), 2)

    def _latency(self):
        value = self._against("4k-read-q1", EXCHANGE, value=figures.mean_latency)
        yield Verdict(3, "4k-read-q1, latency against the limit's", value, 1.15, at_most=True)

    def _digests(self):
        for plain in ("4k-read-q32", "4k-write-q32", "256k-read", "256k-write"):
            pair = [(cell, "timedisk", BENCH) for cell in (f"{plain}-digests", plain)]
            yield Verdict(4, f"{plain}, both digests against none", self.found.ratio(*pair, figures.rate), 0.85)

    def _fua(self):
        value = self._against("4k-write-fua-q32", GROUP)
        yield Verdict(7, "4k-write-fua-q32, of 32 pwrites and one fdatasync", value, 0.8)
        value = self._against("4k-write-fua-q1", GROUP, value=figures.mean_latency)
        yield Verdict(7, "4k-write-fua-q1, latency against pwrite and fdatasync", value, 1.15, at_most=True)
        value = self.syncs["syncs"] / self.syncs["commands"] if self.syncs and self.syncs["syncs"] else None
        note = "{syncs} syncs, {commands} commands".format(**self.syncs) if self.syncs else ""
        yield Verdict(7, "4k-write-fua-q32, syncs per command", value, 1 / 16, at_most=True, note=note)

    def _never_behind(self):
        """One verdict for each client and peer: the cell in which timedisk is least ahead."""
        for client in (BENCH, LIBISCSI):
            for peer in PEERS:
                ratios = {}
                for cell in self.found.cells:
                    value = self._against(cell, peer, client)
                    if client == LIBISCSI:
                        value = self._for_libiscsi(cell, peer)[0]
                    if value is not None:
                        ratios[cell] = value
                worst = min(ratios, key=ratios.get) if ratios else None
                behind = [cell for cell, value in ratios.items() if value < 1]
                yield Verdict(1, f"never behind {peer} with {client}; least in {worst}", ratios.get(worst), 1,
                              note="behind in " + ", ".join(behind) if behind else "")


# What `--check` measures unless other cells are asked for.
CELLS = ["4k-read-q1", "4k-read-q32", "4k-read-q128", "4k-write-q1", "4k-write-q32", "4k-write-q128", "256k-read",
         "256k-write", "1m-read", "1m-write", "4k-read-q32-digests", "4k-write-q32-digests", "256k-read-digests",
         "256k-write-digests", "4k-write-fua-q1", "4k-write-fua-q32"]
