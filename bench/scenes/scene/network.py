"""Two network namespaces with a link between them that has the rate and the delay of a real one."""

import atexit
import os
import re

import own_network

from . import place, process

SERVER, CLIENT = "10.213.77.1", "10.213.77.2"
PREFIX = "tdscene-"
made = []


def _run(*words):
    return process.output(words)


def forget_stale():
    """Deletes namespaces that a killed run has left behind."""
    for line in _run("ip", "netns", "list").splitlines():
        match = re.match(PREFIX + r"(\d+)-", line)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            _run("ip", "netns", "del", line.split()[0])


class Link:
    """A link: `server` and `client` are what a command begins with to run at that end."""

    def __init__(self, megabits):
        place.need("ip", "tc")
        forget_stale()
        self.megabits, self.relay = megabits, None
        self.names = [f"{PREFIX}{os.getpid()}-{end}" for end in ("server", "client")]
        for name in self.names:
            _run("ip", "netns", "add", name)
            made.append(name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
            choice = f"echo {own_network.DEFAULT} > {own_network.CONTROL}"
            _run("ip", "netns", "exec", name, "sh", "-c", choice)

    @property
    def server(self):
        return ["ip", "netns", "exec", self.names[0]]

    @property
    def client(self):
        return ["ip", "netns", "exec", self.names[1]]

    def end(self):
        if self.relay is not None:
            process.end(self.relay)
        for name in self.names:
            if name in made:
                made.remove(name)
                _run("ip", "netns", "del", name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def shaped(megabits):
    """Two ends of a veth pair, each with a token bucket (tbf) towards the other."""
    link = Link(megabits)
    _run("ip", "-n", link.names[0], "link", "add", "scene0", "type", "veth", "peer", "name", "scene0",
         "netns", link.names[1])
    for name, address in zip(link.names, (SERVER, CLIENT)):
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "scene0")
        _run("ip", "-n", name, "link", "set", "scene0", "up")
        _run("tc", "-n", name, "qdisc", "add", "dev", "scene0", "root", "tbf", "rate", f"{megabits}mbit",
             "burst", "32kb", "latency", "50ms")
    return link


def delayed(megabits, milliseconds):
    """Two tunnel devices with a relay between them, which keeps each packet for half of the round trip."""
    link = Link(megabits)
    command = [place.tool("relay"), *link.names, megabits, milliseconds * 500]
    link.relay = process.start(command)
    for name, address, other in zip(link.names, (SERVER, CLIENT), (CLIENT, SERVER)):
        process.wait_until("the relay's device", lambda name=name: "scene0" in _run("ip", "-n", name, "link"), 5, 0.05)
        _run("ip", "-n", name, "address", "add", address, "peer", other, "dev", "scene0")
        _run("ip", "-n", name, "link", "set", "scene0", "up", "txqueuelen", "10000")
    return link


def end_all():
    for name in list(made):
        made.remove(name)
        try:
            _run("ip", "netns", "del", name)
        except process.Failed:
            pass


atexit.register(end_all)
