"""Processors that don't sleep.

A lone read takes most of its time waking processors, in a virtual machine above all; any busy neighbour spares it that.
What neighbours do to each other in the server is seen only when the processors are awake with all of them.
"""

import contextlib
import os
import sys

from . import process

# Of the idle class: it gives way at once to whoever wants the processor.
LOOP = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])]); " \
       "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextlib.contextmanager
def processors():
    loops = [process.start([sys.executable, "-c", LOOP, processor]) for processor in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for loop in loops:
            process.end(loop, 1)
