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
    """The file that every server serves, one after the other. All of it is allocated, and in the page cache."""

    def __init__(self, path, size):
        self.path, self.size = path, size
        block = os.urandom(1 << 20)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        for _ in range(size >> 20):
            os.write(self._file, block)
        os.fdatasync(self._file)

    def settle(self):
        """Writes back what earlier loads have left, so that nobody has to do it for another."""
        os.fdatasync(self._file)

    def forget(self):
        """Takes the file out of the page cache."""
        os.fdatasync(self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def warm(self):
        """Brings the whole file back into the page cache."""
        for offset in range(0, self.size, 1 << 20):
            os.pread(self._file, 1 << 20, offset)


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
