"""Carries one connection of a guest to a host and port: a program of its own, started by QEMU for each.

Its standard input is the connection, which is a socket that goes both ways; the standard library is all it has.
"""

import socket
import sys
import threading

CONNECT_TIMEOUT_S = 30.0
CHUNK = 1 << 16


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes until no more does, and say so."""
    try:
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone: the other learns of it when this process ends
        return


def main() -> int:
    """Carry until both directions have ended; returns the exit status."""
    guest = socket.socket(fileno=sys.stdin.fileno())
    try:
        there = socket.create_connection((sys.argv[1], int(sys.argv[2])), CONNECT_TIMEOUT_S)
    except OSError:
        return 1  # the guest's connection ends
    there.settimeout(None)
    back = threading.Thread(target=pump, args=(there, guest), daemon=True)
    back.start()
    pump(guest, there)
    back.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
