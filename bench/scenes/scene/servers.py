"""The targets that are measured: timedisk, and tgt and istgt beside it."""

import os
import socket

from . import place, process

PEERS = ("tgt", "istgt")


class Server:
    """One daemon: where it listens, how to reach its disks, and how to end it."""

    def __init__(self, kind, address, port, running, urls, directory):
        self.kind, self.address, self.port, self.running = kind, address, port, running
        self.urls, self.directory = urls, directory

    @property
    def pid(self):
        return self.running.pid

    @property
    def url(self):
        return self.urls[0]

    def end(self):
        process.end(self.running)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def timedisk(disks, address="127.0.0.1", inside=(), arguments=()):
    """Serves files: `disks` has paths, each with its size as for --disk, or without."""
    if not os.access(place.binary, os.X_OK):
        raise process.Failed(f"{place.binary} is not here: build it with `cargo build --release`, or use --binary")
    directory, port = place.fresh("timedisk"), place.free_port()
    names = [f"iqn.2026-01.scene:disk{number}" for number in range(len(disks))]
    words = []
    for path, name in zip(disks, names):
        words += ["--disk", f"{path},iqn={name}"]
    ready = directory / "ready"
    command = [*inside, place.binary, "serve", *words, "--listen", f"{address}:{port}"]
    command += ["--state", directory / "state", "--ready-file", ready, *arguments]
    with open(directory / "log", "wb") as log:
        running = process.start(command, stdout=log, stderr=log)
    _wait(running, "timedisk", directory, ready.exists)
    urls = [f"iscsi://{address}:{port}/{name}/0" for name in names]
    return Server("timedisk", address, port, running, urls, directory)


def tgt(image, address="127.0.0.1", inside=()):
    """tgtd with one disk that it reads and writes through the page cache."""
    place.need("tgtd", "tgtadm")
    directory, port = place.fresh("tgt"), place.free_port()
    control = 1 + port % 30000
    with open(directory / "log", "wb") as log:
        command = [*inside, "tgtd", "-f", "-C", control, "--iscsi", f"portal={address}:{port}"]
        running = process.start(command, stdout=log, stderr=log)
    _wait(running, "tgt", directory, lambda: _listens(address, port, inside))
    admin = ["tgtadm", "-C", control, "--lld", "iscsi"]
    name = "iqn.2026-01.scene:tgt"
    process.output([*admin, "--op", "new", "--mode", "target", "--tid", 1, "-T", name])
    unit = [*admin, "--mode", "logicalunit", "--tid", 1, "--lun", 1]
    process.output([*unit, "--op", "new", "-b", image, "--bstype", "rdwr"])
    process.output([*admin, "--op", "bind", "--mode", "target", "--tid", 1, "-I", "ALL"])
    server = Server("tgt", address, port, running, [f"iscsi://{address}:{port}/{name}/1"], directory)
    # tgtd ignores SIGTERM while it has targets.
    server.end = lambda: process.end(running, 0.2)
    return server


ISTGT = """[Global]
  NodeBase "iqn.2026-01.scene"
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
  Portal UC1 {address}:{control}
  Netmask {address}
[PortalGroup1]
  Portal DA1 {address}:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask ALL
[LogicalUnit1]
  TargetName istgt
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage {image} {mebibytes}MB
"""


def istgt(image, address="127.0.0.1", inside=()):
    """istgt with one disk, set up for long bursts."""
    place.need("istgt")
    directory, port = place.fresh("istgt"), place.free_port()
    mebibytes = os.stat(image).st_size >> 20
    text = ISTGT.format(directory=directory, address=address, port=port, control=port + 1, image=image,
                        mebibytes=mebibytes)
    (directory / "auth").touch(mode=0o600)
    (directory / "conf").write_text(text)
    with open(directory / "log", "wb") as log:
        running = process.start([*inside, "istgt", "-D", "-c", directory / "conf"], stdout=log, stderr=log)
    _wait(running, "istgt", directory, lambda: _listens(address, port, inside))
    return Server("istgt", address, port, running, [f"iscsi://{address}:{port}/iqn.2026-01.scene:istgt/0"], directory)


def _listens(address, port, inside):
    if inside:
        # The listener is in another namespace, whose table of sockets shows it.
        table = process.output([*inside, "cat", "/proc/net/tcp"])
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                   for line in table.splitlines()[1:])
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def _wait(running, kind, directory, condition):
    def there():
        if running.poll() is not None:
            said = (directory / "log").read_text(errors="replace").strip().splitlines()[-3:]
            raise process.Failed(f"{kind} ended at once: {' / '.join(said)}")
        return condition()
    process.wait_until(f"the start of {kind}", there, 60)


def peer(kind, image, address="127.0.0.1", inside=()):
    return {"tgt": tgt, "istgt": istgt}[kind](image, address, inside)
