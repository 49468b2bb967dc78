"""One plain TCP stream, to see what a link carries.

    stream.py listen ADDRESS PORT
    stream.py send|receive ADDRESS PORT SECONDS

The end that connects says which way the data go, and for how long; it prints the payload's bytes per second, from the
first byte to the last one's arrival.
"""

import socket
import sys
import time

CHUNK = 1 << 20


def send(connection, seconds):
    data = bytes(CHUNK)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def receive(connection):
    buffer = bytearray(CHUNK)
    total = 0
    while True:
        length = connection.recv_into(buffer)
        if length == 0:
            return total
        total += length


def listen(address, port):
    with socket.create_server((address, port)) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                order = connection.recv(64).decode().split()
                if order[0] == "receive":
                    send(connection, float(order[1]))
                else:
                    connection.sendall(b"+")
                    total = receive(connection)
                    connection.sendall(str(total).encode())


def connect(what, address, port, seconds):
    with socket.create_connection((address, port)) as connection:
        connection.sendall(f"{what} {seconds}".encode())
        start = time.monotonic()
        if what == "receive":
            total = receive(connection)
        else:
            connection.recv(1)
            start = time.monotonic()
            send(connection, seconds)
            total = int(connection.recv(64))
        print(total / (time.monotonic() - start))


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen(sys.argv[2], int(sys.argv[3]))
    else:
        connect(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
