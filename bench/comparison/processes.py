"""Processes of a run. Each is ended by its process id when the run ends, whatever the reason."""

import atexit
import os
import pathlib
import shutil
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
# The kernel ends what this asks for when its parent is killed.
GUARD = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
_running = []


class Failed(Exception):
    """Something that a run needs did not do its work."""


def start(command, **options):
    """Starts a process in a session of its own, so that Ctrl-C comes to us alone and we end it in order."""
    words = [*GUARD, *(str(word) for word in command)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    _running.append(process)
    return process


def end(process, patience=5.0):
    """Asks a process to end, and kills it if it has not after `patience` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in _running:
        _running.remove(process)


def end_all():
    for process in reversed(list(_running)):
        end(process, 2)


def output(command, seconds=30.0):
    """What a command says on stdout. Failed if it takes longer than `seconds`, or does not succeed."""
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"{_brief(command)}: not done after {seconds:.0f} s") from None
    finally:
        end(process, 1)
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    if process.returncode != 0:
        lines = (complaint.strip() or said.strip() or "nothing").splitlines()
        raise Failed(f"{_brief(command)}: status {process.returncode}: {lines[-1]}")
    return said


def _brief(command):
    return " ".join([os.path.basename(str(command[0])), *(str(word) for word in command[1:])])[:200]


def wait_for(what, condition, process, log, seconds=60.0):
    """Waits until a condition is true. Failed if the process ends before, or the time is over."""
    limit = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            said = pathlib.Path(log).read_text(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{what} ended at once: {' / '.join(said)}")
        if time.monotonic() > limit:
            raise Failed(f"{what} is not there after {seconds:.0f} s")
        time.sleep(0.02)


def cpu_seconds(pid):
    """CPU time of a process with all its threads, user and system. The kernel counts it in ticks of 10 ms."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


atexit.register(end_all)
