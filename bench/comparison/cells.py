"""The table of cells: what is measured."""

import dataclasses

KIB, MIB = 1 << 10, 1 << 20


@dataclasses.dataclass(frozen=True)
class Cell:
    """One kind of load. `depth` is the number of commands under way in each session; sizes are in bytes."""
    name: str
    rw: str
    block: int
    depth: int
    sessions: int = 1
    sequential: bool = False
    digest: str = "none"
    fua: bool = False
    cold: bool = False

    @property
    def small(self):
        """Whether commands a second say more than bytes a second."""
        return self.block < 64 * KIB

    @property
    def piece(self):
        """The pieces in which the disk is written before. They become the units of the page cache, and ext4 pays for
        a small write into a large one by its length, which would hide what the servers cost."""
        return 4 * KIB if self.small else MIB

    @property
    def title(self):
        size = f"{self.block // MIB}M" if self.block >= MIB else f"{self.block // KIB}K"
        words = [size, "sequential" if self.sequential else "random"]
        words.append({"mixed": "70 % read, 30 % write"}.get(self.rw, self.rw))
        if self.fua:
            words.append("with FUA")
        words[-1] += f", QD{self.depth}"
        if self.sessions > 1:
            words.append(f"× {self.sessions} sessions")
        if self.digest != "none":
            words[-1] += {"header": ", header digest", "both": ", both digests"}[self.digest]
        if self.cold:
            words[-1] += ", not in the page cache"
        return " ".join(words)


def _random(name, rw, depth, **more):
    return Cell(name, rw, 4 * KIB, depth, **more)


def _sequential(name, rw, block, depth=8, **more):
    return Cell(name, rw, block, depth, sequential=True, **more)


# Random ones first, then sequential ones, then those that empty the page cache: a change of its state takes time.
CELLS = [
    _random("4k-read-q1", "read", 1),
    _random("4k-read-q32", "read", 32),
    _random("4k-read-q128", "read", 128),
    _random("4k-write-q1", "write", 1),
    _random("4k-write-q32", "write", 32),
    _random("4k-write-q128", "write", 128),
    _random("4k-mixed-q32", "mixed", 32),
    _random("4k-read-q32-s4", "read", 32, sessions=4),
    _random("4k-read-q32-s16", "read", 32, sessions=16),
    _random("4k-write-q32-s4", "write", 32, sessions=4),
    _random("4k-write-q32-s16", "write", 32, sessions=16),
    _random("4k-read-q32-header", "read", 32, digest="header"),
    _random("4k-read-q32-digests", "read", 32, digest="both"),
    _random("4k-write-q32-digests", "write", 32, digest="both"),
    _random("4k-write-fua-q1", "write", 1, fua=True),
    _random("4k-write-fua-q32", "write", 32, fua=True),
    _sequential("64k-read", "read", 64 * KIB, 32),
    _sequential("64k-write", "write", 64 * KIB, 32),
    _sequential("256k-read", "read", 256 * KIB),
    _sequential("256k-write", "write", 256 * KIB),
    _sequential("1m-read", "read", MIB),
    _sequential("1m-write", "write", MIB),
    _sequential("256k-read-s4", "read", 256 * KIB, 4, sessions=4),
    _sequential("256k-read-header", "read", 256 * KIB, digest="header"),
    _sequential("256k-read-digests", "read", 256 * KIB, digest="both"),
    _sequential("256k-write-digests", "write", 256 * KIB, digest="both"),
    _random("4k-read-q32-cold", "read", 32, cold=True),
    _sequential("1m-read-cold", "read", MIB, cold=True),
]
BY_NAME = {cell.name: cell for cell in CELLS}

# Few and typical ones, for a short look.
QUICK = ["4k-read-q1", "4k-read-q32", "4k-write-q32", "256k-read", "1m-read", "1m-write", "4k-write-fua-q32"]


def pick(names):
    """The cells of these names, in the table's order. ValueError names one that is not there."""
    for name in names:
        if name not in BY_NAME:
            raise ValueError(f"no cell is called {name}; --list names them")
    return [cell for cell in CELLS if cell.name in names]
