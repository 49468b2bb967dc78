"""A slow disk of a given size, speed and time for a sync, mounted for as long as it is needed."""

import atexit
import os
import pathlib
import subprocess

from . import place, process

mounted = []


class SlowDisk:
    def __init__(self, size, bytes_per_second=0, sync_microseconds=0):
        if not os.path.exists("/dev/fuse"):
            raise process.Failed("no slow disk can be made: /dev/fuse is not here")
        self.directory = place.fresh("slow")
        command = [place.tool("slowdisk", "-pthread"), self.directory, size, bytes_per_second, sync_microseconds]
        self.running = process.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.running.stdout.readline().strip() != "ready":
            raise process.Failed("no slow disk could be made: " + self.running.stderr.read().strip())
        mounted.append(self.directory)

    @property
    def image(self):
        return pathlib.Path(self.directory, "disk")

    def end(self):
        unmount(self.directory)
        process.end(self.running)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def unmount(directory):
    if directory in mounted:
        mounted.remove(directory)
        # Lazily: whoever still has the file open gets errors once the disk's process has ended.
        subprocess.run(["umount", "-l", directory], check=False, timeout=10)


def end_all():
    for directory in list(mounted):
        unmount(directory)


atexit.register(end_all)
