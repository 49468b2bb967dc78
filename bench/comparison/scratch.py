"""A directory for the run, on a real file system: the disk that all servers serve, the servers' state, the tools."""

import atexit
import os
import pathlib
import random
import shutil
import socket
import tempfile

from . import processes

NATIVE = pathlib.Path(__file__).resolve().parent.parent / "native"
FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
LIBRARIES = {"libiscsi": ["-liscsi"]}


class Scratch:
    """Goes away when the run ends."""

    def __init__(self, parent):
        parent.mkdir(parents=True, exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="compare-", dir=parent))
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)
        self._tools = {}

    def directory(self, name):
        path = self.path / name
        path.mkdir()
        return path

    def tool(self, name):
        """The program made of native/NAME.c."""
        if name not in self._tools:
            program = self.path / name
            source = NATIVE / f"{name}.c"
            processes.output(["cc", *FLAGS, "-o", program, source, *LIBRARIES.get(name, [])], 120)
            self._tools[name] = program
        return self._tools[name]


class Disk:
    """The file that every server serves, one after the other. All of it is allocated."""

    def __init__(self, path, size):
        self.path, self.size = path, size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        os.ftruncate(self._file, size)
        self._laid = None

    def prepare(self, cell):
        """Brings the page cache to the state that the cell asks for, and leaves nothing to be written back."""
        os.fdatasync(self._file)
        if cell.cold:
            self._forget()
        elif self._laid != cell.piece:
            self._lay(cell.piece)

    def _forget(self):
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        self._laid = None

    def _lay(self, piece):
        """Writes the whole file in pieces, which become the units of the page cache."""
        self._forget()
        data = os.urandom(1 << 20)
        for offset in range(0, self.size, piece):
            start = offset % len(data)
            os.pwrite(self._file, data[start:start + piece], offset)
        os.fdatasync(self._file)
        self._laid = piece


def free_port():
    """A port of loopback on which nobody listens. tgtd takes none above 32767."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def listens(port):
    """Whether somebody listens there: asked of the kernel, since nbdkit takes a probe for its only client."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
            return True
    return False
