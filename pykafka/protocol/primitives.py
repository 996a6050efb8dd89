"""The variable-length integers and sizes of the wire format, which generated codecs call where they cannot inline."""

from __future__ import annotations

from typing import Union

from ..exceptions import ProtocolError

#: Whatever bytes may be sent from without a copy.
Buffer = Union[bytes, bytearray, memoryview]

#: An unsigned varint has at most five bytes; a sixth is refused.
MAX_UVARINT_BYTES = 5
UUID_BYTES = 16
#: Kafka refuses longer strings, though in flexible versions their length is a varint.
MAX_STRING_BYTES = 32767
_SMALL = [bytes((n,)) for n in range(128)]


def encode_uvarint(n: int) -> bytes:
    """Return ``n`` (0 to 2**32 - 1) as an unsigned LEB128 varint."""
    if n < 128:
        return _SMALL[n]
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def decode_uvarint(buffer: memoryview, at: int) -> tuple[int, int]:
    """Return the unsigned varint at ``at`` and the place behind it.

    :raises ProtocolError: for one of more than five bytes, or beyond 32 bits
    :raises IndexError: when the buffer ends inside it
    """
    value = 0
    for step in range(MAX_UVARINT_BYTES):
        byte = buffer[at + step]
        value |= (byte & 127) << (7 * step)
        if byte < 128:
            if value > 0xFFFFFFFF:
                break
            return value, at + step + 1
    raise ProtocolError(f"an unsigned varint at byte {at} is longer than 32 bits")


def check_string_size(size: int) -> int:
    """Return ``size`` if a string may have so many bytes.

    :raises ValueError: if not
    """
    if size > MAX_STRING_BYTES:
        raise ValueError(f"a string has at most {MAX_STRING_BYTES} bytes, not {size}")
    return size


def check_uuid(value: bytes) -> bytes:
    """Return ``value`` if it is a uuid: packing would pad or cut anything else without a word.

    :raises ValueError: if not
    """
    if len(value) != UUID_BYTES:
        raise ValueError(f"a uuid has {UUID_BYTES} bytes, not {len(value)}")
    return value
