"""The servers that are compared. Each serves the same file, on loopback, as its own documentation would have it."""

import contextlib
import dataclasses
import pathlib
import re
import shutil
import time

from . import processes
from .scratch import free_port, listens

NAME = "iqn.2026-01.bench"


@dataclasses.dataclass
class Server:
    """A server that runs: `url` is what a client is given."""
    name: str
    url: str
    process: object
    before_end: object = lambda: None

    @property
    def pid(self):
        return self.process.pid

    def end(self):
        self.before_end()
        processes.end(self.process, 3)


def _start(name, command, directory, ready):
    log = directory / "log"
    with open(log, "wb") as file:
        process = processes.start(command, stdout=file, stderr=file)
    processes.wait_for(name, ready, process, log)
    return process


def _listening(name, command, directory, port):
    return _start(name, command, directory, lambda: listens(port))


def timedisk(disk, directory, binary, wrapper=()):
    """`wrapper` is a command that runs it, such as strace."""
    port, ready = free_port(), directory / "ready"
    command = [*wrapper, binary, "serve", "--disk", f"{disk.path},iqn={NAME}:timedisk"]
    command += ["--listen", f"127.0.0.1:{port}", "--state", directory / "state", "--ready-file", ready]
    process = _start("timedisk", command, directory, ready.exists)
    return Server("timedisk", f"iscsi://127.0.0.1:{port}/{NAME}:timedisk/0", process)


def tgt(disk, directory, _binary):
    """Through the page cache (rdwr). Digests are not offered unless asked for."""
    port, control = free_port(), free_port()
    command = ["tgtd", "-f", "-C", control, "--iscsi", f"portal=127.0.0.1:{port}"]
    process = _listening("tgt", command, directory, port)
    admin = ["tgtadm", "-C", control]
    target = [*admin, "--lld", "iscsi", "--mode", "target", "--tid", 1]
    processes.output([*target, "--op", "new", "-T", f"{NAME}:tgt"])
    for digest in ("HeaderDigest", "DataDigest"):
        processes.output([*target, "--op", "update", "-n", digest, "-v", "None,CRC32C"])
    unit = [*admin, "--lld", "iscsi", "--mode", "logicalunit", "--tid", 1, "--lun", 1]
    processes.output([*unit, "--op", "new", "-b", disk.path, "--bstype", "rdwr"])
    processes.output([*target, "--op", "bind", "-I", "ALL"])

    def let_go():
        # tgtd does not heed SIGTERM while it has a target
        for words in ([*target, "--op", "delete", "--force"], [*admin, "--mode", "system", "--op", "delete"]):
            with contextlib.suppress(processes.Failed):
                processes.output(words, 5)
        limit = time.monotonic() + 2
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        for ending in ("", ".lock"):
            pathlib.Path(f"/var/run/tgtd/socket.{control}{ending}").unlink(missing_ok=True)

    return Server("tgt", f"iscsi://127.0.0.1:{port}/{NAME}:tgt/1", process, let_go)


ISTGT = """[Global]
  NodeBase "{name}"
  PidFile {directory}/pid
  AuthFile {directory}/auth
  MediaDirectory {directory}
  LogFacility "local7"
  DiscoveryAuthMethod None
  MaxSessions 32
  MaxConnections 8
  MaxR2T 32
  MaxOutstandingR2T 16
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:{control}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.1
[LogicalUnit1]
  TargetName istgt
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage {disk} {mebibytes}MB
"""


def istgt(disk, directory, _binary):
    port = free_port()
    text = ISTGT.format(name=NAME, directory=directory, control=free_port(), port=port, disk=disk.path,
                        mebibytes=disk.size >> 20)
    (directory / "conf").write_text(text)
    (directory / "auth").touch(0o600)
    process = _listening("istgt", ["istgt", "-D", "-c", directory / "conf"], directory, port)
    return Server("istgt", f"iscsi://127.0.0.1:{port}/{NAME}:istgt/0", process)


def qemu_nbd(disk, directory, _binary):
    port = free_port()
    command = ["qemu-nbd", "-f", "raw", "-e", 32, "-t", "-b", "127.0.0.1", "-p", port, "--cache=writeback", disk.path]
    return Server("qemu-nbd", f"nbd://127.0.0.1:{port}", _listening("qemu-nbd", command, directory, port))


def nbdkit(disk, directory, _binary):
    port = free_port()
    command = ["nbdkit", "-f", "-i", "127.0.0.1", "-p", port, "file", disk.path]
    return Server("nbdkit", f"nbd://127.0.0.1:{port}", _listening("nbdkit", command, directory, port))


# In the order in which they are measured: how to start it, the program, and how it tells its version.
ISCSI = {"timedisk": timedisk, "tgt": tgt, "istgt": istgt}
NBD = {"qemu-nbd": qemu_nbd, "nbdkit": nbdkit}
ALL = {**ISCSI, **NBD}
VERSIONS = {
    "tgt": ["dpkg-query", "-W", "-f=${Version}", "tgt"],
    "istgt": ["dpkg-query", "-W", "-f=${Version}", "istgt"],
    "libiscsi": ["dpkg-query", "-W", "-f=${Version}", "libiscsi-dev"],
    "qemu-nbd": ["qemu-nbd", "--version"],
    "nbdkit": ["nbdkit", "--version"],
    "fio": ["fio", "--version"],
}


def version(words):
    """The first version number that a command tells, or nothing."""
    try:
        found = re.search(r"\d+(\.\d+)+", processes.output(words, 10))
    except (processes.Failed, OSError):
        return None
    return found.group(0) if found else None


def versions(binary):
    found = {"timedisk": version([binary, "--version"])}
    found.update({name: version(words) for name, words in VERSIONS.items()})
    return {name: text for name, text in found.items() if text}


def missing(names, binary):
    """What has to be installed before these servers can be measured."""
    programs = {"timedisk": [binary], "tgt": ["tgtd", "tgtadm"], "istgt": ["istgt"], "qemu-nbd": ["qemu-nbd", "fio"],
                "nbdkit": ["nbdkit", "fio"]}
    wanted = {program for name in names for program in programs[name]} | {"cc"}
    return sorted(str(program) for program in wanted if shutil.which(program) is None)


def start(names, disk, scratch, binary):
    return {name: ALL[name](disk, pathlib.Path(scratch.directory(name)), binary) for name in names}
