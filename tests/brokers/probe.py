"""Asks a broker for Metadata with nothing but a socket: what tells that it is up, independently of the client under test."""

from __future__ import annotations

import socket
import struct


def brokers_seen_by(host: str, port: int, timeout_s: float = 2.0) -> list[int]:
    """Return the ids of the brokers that the one at ``host:port`` lists; empty when it does not answer properly."""
    body = struct.pack(">hhih", 3, 1, 7, 5) + b"probe" + struct.pack(">i", 0)  # Metadata v1 about no topics
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as conn:
            conn.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _exactly(conn, 4))
            return _broker_ids(_exactly(conn, size))
    except (OSError, struct.error):
        return []


def _exactly(conn: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


def _broker_ids(reply: bytes) -> list[int]:
    at = 4
    (count,) = struct.unpack_from(">i", reply, at)
    at += 4
    ids = []
    for _ in range(count):
        (node,) = struct.unpack_from(">i", reply, at)
        ids.append(node)
        (length,) = struct.unpack_from(">h", reply, at + 4)
        at += 6 + length + 4
        (rack,) = struct.unpack_from(">h", reply, at)
        at += 2 + max(rack, 0)
    return ids
