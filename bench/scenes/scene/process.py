"""Processes of a run: each is started here, has an end, and is ended by its process id."""

import atexit
import os
import signal
import subprocess
import time

running = []


class Failed(Exception):
    """Something that a scene needs did not do its work."""


def start(command, **options):
    """Starts a process that the run ends, should nobody else do it before."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **options)
    running.append(process)
    return process


def end(process, seconds=5):
    """Asks a process to end, and makes it end after some seconds. Gives its status."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in running:
        running.remove(process)
    return process.returncode


def end_all():
    for process in reversed(list(running)):
        end(process, 2)


def output(command, seconds=60, **options):
    """What a command prints on stdout; Failed if it takes longer than `seconds` or does not succeed."""
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process, 1)
        raise Failed(f"{brief(command)} took longer than {seconds} seconds") from None
    end(process)
    if process.returncode != 0:
        said = (err.strip() or out.strip() or "nothing").splitlines()[-1]
        raise Failed(f"{brief(command)} ended with status {process.returncode} and said: {said}")
    return out


def brief(command):
    words = [str(word) for word in command]
    return " ".join([os.path.basename(words[0]), *words[1:]])[:160]


def wait_until(what, condition, seconds=20, pause=0.01):
    """Waits for a condition; Failed if it does not come true in time."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise Failed(f"{what} did not happen within {seconds} seconds")
        time.sleep(pause)


atexit.register(end_all)
