"""A directory for the run, on a real file system: the disk that all servers serve, the servers' state, the tools."""

import atexit
import ctypes
import mmap
import os
import pathlib
import random
import re
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
        self._laid, self._is_written = None, False

    def begin(self, cell):
        """Before a cell's first sample. A machine below this one may have a cache of its own, and whoever reads first would
        pay for all who come after."""
        if cell.cold:
            if not self._is_written:
                self._lay(cell.piece, [(0, self.size)])
            for offset in range(0, self.size, 1 << 20):
                os.pread(self._file, 1 << 20, offset)

    def prepare(self, cell):
        """Brings the page cache to the state that the cell asks for, and leaves nothing to be written back."""
        os.fdatasync(self._file)
        if cell.cold:
            self._forget()
        elif self._laid != cell.piece:
            self._forget()
            self._lay(cell.piece, [(0, self.size)])
        else:
            # The system may have taken some of it for something else meanwhile.
            self._lay(cell.piece, self._missing())

    def _forget(self):
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        self._laid = None

    def _lay(self, piece, runs):
        """Writes these runs of the file in pieces, which become the units of the page cache."""
        data = os.urandom(1 << 20)
        for begin, end in runs:
            for offset in range(begin - begin % piece, end, piece):
                start = offset % len(data)
                os.pwrite(self._file, data[start:start + piece], offset)
        if runs:
            os.fdatasync(self._file)
        self._laid, self._is_written = piece, True

    def _missing(self):
        """Runs of bytes that are not in the page cache."""
        pages = self.size // mmap.PAGESIZE
        resident = (ctypes.c_ubyte * pages)()
        with mmap.mmap(self._file, self.size) as mapped:
            first = ctypes.c_char.from_buffer(mapped)
            libc = ctypes.CDLL(None, use_errno=True)
            failed = libc.mincore(ctypes.byref(first), ctypes.c_size_t(self.size), resident)
            del first
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        runs = re.finditer(rb"[^\x01]+", bytes(resident).translate(bytes(value & 1 for value in range(256))))
        return [(run.start() * mmap.PAGESIZE, run.end() * mmap.PAGESIZE) for run in runs]


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
