"""Where things are: the program under test, the tools of the scenes, a scratch directory."""

import atexit
import os
import pathlib
import shutil
import socket
import tempfile

from . import process

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
binary = ROOT / "target" / "release" / "timedisk"
bench = None  # the program whose `bench` is a client, if it is not the one under test
_scratch = None
_tools = {}


def scratch():
    """A directory of this run, on a real file system; it goes when the run ends."""
    global _scratch
    if _scratch is None:
        base = ROOT / "target" / "scenes"
        base.mkdir(parents=True, exist_ok=True)
        _scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=base))
        atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
    return _scratch


def fresh(name):
    """A new, empty directory in the scratch directory."""
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=scratch()))


def tool(name, *libraries):
    """Builds native/NAME.c, once a run, and gives the program's path."""
    if name not in _tools:
        if shutil.which("cc") is None:
            raise process.Failed("no C compiler (cc) is here")
        program = scratch() / name
        flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
        process.output(["cc", *flags, "-o", program, HERE / "native" / f"{name}.c", *libraries])
        _tools[name] = program
    return _tools[name]


def need(*commands):
    """Failed, unless all of these commands are here."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        raise process.Failed("not here: " + ", ".join(missing))


def free_port():
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # tgtd takes no port above 32767.
    return 20000 + (port + os.getpid()) % 12000


def sparse(path, size):
    """A sparse file of this size, made or lengthened."""
    with open(path, "ab") as file:
        file.truncate(size)
    return path


def filled(path, size):
    """A file with data in it, so that reads copy bytes instead of clearing them.

    It is written in small pieces: what was written at once, some file systems keep in their cache as one (ext4 since
    Linux 6.16), and walk over all of it at each small write later on, which would be measured then. And it is on the
    disk before this ends, so that nothing is written back while others measure.
    """
    piece = os.urandom(4096)
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // len(piece)):
            file.write(piece)
        os.fsync(file.fileno())
    return path
