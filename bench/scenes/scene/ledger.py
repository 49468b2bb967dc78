"""What a running process takes: memory, processor time, system calls."""

import os
import signal
import subprocess
import time

from . import place, process

RECEIVE = ("recvfrom", "recvmsg", "read", "readv")
SEND = ("sendto", "sendmsg", "write", "writev")
DISK = ("pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2")
WAIT = ("poll", "ppoll", "epoll_wait", "epoll_pwait")
SYNC = ("fdatasync", "fsync", "sync_file_range")
OTHER = ("futex", "io_uring_enter", "mmap", "munmap", "madvise", "brk")
GROUPS = {"receive": RECEIVE, "send": SEND, "disk": DISK, "wait": WAIT, "sync": SYNC}
GROUPS |= {call: (call,) for call in OTHER}


def resident(pid):
    """Bytes of memory that a process has now."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise process.Failed(f"no memory is told of for process {pid}")


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class SystemCalls:
    """Counts system calls of a process and its threads from here on, by perf's trace points."""

    def __init__(self, pid):
        place.need("perf")
        self.file = place.fresh("perf") / "counts"
        events = [f"syscalls:sys_enter_{call}" for calls in GROUPS.values() for call in calls]
        command = ["perf", "stat", "-x", ";", "-o", self.file, "-e", ",".join([*events, "raw_syscalls:sys_enter"])]
        # Calls that brought nothing, for want of data: told apart by what they give back.
        for call in RECEIVE:
            command += ["-e", f"syscalls:sys_exit_{call}", "--filter", "ret < 0"]
        self.running = process.start([*command, "-p", pid], stderr=subprocess.PIPE)
        time.sleep(0.3)
        if self.running.poll() is not None:
            raise process.Failed("perf cannot count here: " + self.running.stderr.read().decode().strip()[-200:])

    def end(self):
        """Calls by group, and `all` of them."""
        self.running.send_signal(signal.SIGINT)
        self.running.wait(10)
        process.end(self.running)
        counts = {}
        for line in self.file.read_text().splitlines():
            fields = line.split(";")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2].split(":sys_enter_")[-1]] = int(fields[0])
        found = {group: sum(counts.get(call, 0) for call in calls) for group, calls in GROUPS.items()}
        found["all"] = counts.get("raw_syscalls:sys_enter", 0)
        found["receive in vain"] = sum(counts.get(f"syscalls:sys_exit_{call}", 0) for call in RECEIVE)
        return found
