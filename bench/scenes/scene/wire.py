"""An initiator of a few lines, for clients that no library would play: those that only sit there, or never read."""

import re
import socket
import struct

from . import process

KEYS = ("HeaderDigest=None", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes", "MaxConnections=1",
        "MaxRecvDataSegmentLength=262144", "MaxBurstLength=1048576", "FirstBurstLength=262144",
        "MaxOutstandingR2T=8", "DefaultTime2Wait=0", "DefaultTime2Retain=0", "ErrorRecoveryLevel=0")
LAST_OF_LOGIN = 0x87
READ_FLAGS, READ_16 = 0xC1, 0x88


def parts(url):
    """Address, port, target name and LUN of an iscsi:// URL."""
    match = re.fullmatch(r"iscsi://([^:/]+):(\d+)/([^/]+)/(\d+)", url)
    return match.group(1), int(match.group(2)), match.group(3), int(match.group(4))


class Session:
    """A session on one disk, logged in."""

    def __init__(self, url, number=0, receive_buffer=None):
        address, port, target, self.lun = parts(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect((address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.command_number = 1
        self._login(target, number)

    def _login(self, target, number):
        pairs = (f"InitiatorName=iqn.2026-01.scene.wire:{number}", f"TargetName={target}", "SessionType=Normal", *KEYS)
        text = b"".join(pair.encode() + b"\0" for pair in pairs)
        isid = struct.pack(">BHBH", 0x80, 0, (number >> 16) & 0xFF, number & 0xFFFF)
        header = struct.pack(">BBBBI6sHIHHII16x", 0x43, LAST_OF_LOGIN, 0, 0, len(text), isid, 0, 1, 0, 0, 1, 0)
        self.socket.sendall(header + text + b"\0" * (-len(text) % 4))
        answer = self._exactly(48)
        length = int.from_bytes(answer[5:8], "big")
        self._exactly(length + -length % 4)
        if answer[0] & 0x3F != 0x23 or answer[36:38] != b"\0\0":
            raise process.Failed(f"a login was refused with status {answer[36]:02x}{answer[37]:02x}")
        if answer[1] & LAST_OF_LOGIN != LAST_OF_LOGIN:
            raise process.Failed("a login takes more steps than a client of the scenes knows")

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise process.Failed("the target closed a connection")
            data += more
        return data

    def ask_to_read(self, blocks, block_bytes=512, lba=0):
        """Sends READ (16), and leaves the answer to whoever wants it."""
        cdb = struct.pack(">BBQIBB", READ_16, 0, lba, blocks, 0, 0)
        header = struct.pack(">BBHIQIIII16s", 1, READ_FLAGS, 0, 0, self.lun << 48, 100 + self.command_number,
                             blocks * block_bytes, self.command_number, 1, cdb)
        self.command_number += 1
        self.socket.sendall(header)

    def close(self):
        self.socket.close()


def sessions(url, count):
    """Sessions that are logged in and then do nothing."""
    return [Session(url, number) for number in range(count)]
