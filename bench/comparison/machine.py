"""The machine on which a run took place."""

import datetime
import os
import pathlib
import platform
import re

import own_network


def _processor():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found.group(1).strip() if found else platform.machine()


def _memory():
    return int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) << 10


def _file_system(path):
    """The type of the file system that has this path."""
    best, kind = "", "unknown"
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        mounted, name = line.split()[1:3]
        inside = str(path) == mounted or str(path).startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):
            best, kind = mounted, name
    return kind


def describe(directory):
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "congestion_control": own_network.congestion_control(),
        "file_system": _file_system(directory.resolve()),
        "load_average_before": os.getloadavg()[0],
    }
