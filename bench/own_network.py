"""A network of its own for a bench: loopback, and TCP as Linux has it by default.

A machine's own TCP may pace what it sends (BBR does), on loopback too. Bulk rates then tell of timers, and of how they
happen to meet a server's sends, rather than of servers: 1 MiB reads went half as fast here, and twice as fast or not from
one run to the next.
"""

import os
import pathlib
import shutil
import subprocess
import sys

CONTROL = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
DEFAULT = "cubic"
INSIDE = "TIMEDISK_BENCH_NETWORK"


def enter():
    """Starts this program again in a network namespace of its own. Without the right to one it stays where it is."""
    if os.environ.get(INSIDE) == "own":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        CONTROL.write_text(DEFAULT)
        return
    needed = all(shutil.which(tool) for tool in ("unshare", "ip"))
    if needed and subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        words = ["unshare", "--net", "--", sys.executable, *sys.argv]
        os.execvpe(words[0], words, {**os.environ, INSIDE: "own"})


def congestion_control():
    return CONTROL.read_text().strip()
