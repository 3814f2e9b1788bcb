"""Clients that send empty frames as fast as the server takes them; each one that is closed reconnects.

Run as `python -m tests.journeys.realtime.frame_flood PORT OPCODE SOCKETS [AUTHORIZATION]`; it prints a line at each
connection.
"""

import contextlib
import select
import socket
import sys
import threading

from tests.freight.server.server_process import UPGRADE, client_frame


def flood(port: int, opcode: int, authorization: str) -> None:
    frames = client_frame(b"", opcode=opcode, final=opcode != 0) * 10_000
    header = f"Authorization: {authorization}\r\n\r\n".encode() if authorization else b"\r\n"
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall((UPGRADE % b"/ws/").removesuffix(b"\r\n") + header)
            client.recv(4096)
            client.sendall(b"" if opcode else client_frame(b"", final=False))
            client.setblocking(False)
            print(flush=True)
            rest, received = b"", b"x"
            while received:
                readable, writable, _ = select.select([client], [client], [])
                received = client.recv(1 << 20) if readable else received
                rest = rest or frames
                rest = rest[client.send(rest) if writable else 0 :]


if __name__ == "__main__":
    port, opcode, sockets = map(int, sys.argv[1:4])
    for _ in range(sockets):
        threading.Thread(target=flood, args=(port, opcode, "".join(sys.argv[4:5]))).start()
