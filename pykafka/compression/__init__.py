"""The five codecs by number: compress, and decompress within a bound. Each codec's package is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors.imports import is_absent
from ..exceptions import MissingCodecError
from ..protocol.primitives import Buffer

#: Codec number -> (name, module, extra to install); 0 is no compression.
CODECS = {
    1: ("gzip", "gzip", ""),
    2: ("snappy", "snappy", "snappy"),
    3: ("lz4", "lz4", "lz4"),
    4: ("zstd", "zstd", "zstd"),
}
_PACKAGES = ("cramjam", "snappy", "lz4", "zstandard")
_loaded: dict[int, Any] = {}


def _codec(number: int) -> Any:
    codec = _loaded.get(number)
    if codec is None:
        if number not in CODECS:
            raise ValueError(f"there is no compression codec {number}")
        name, module, extra = CODECS[number]
        try:
            codec = _loaded[number] = import_module(f"{__name__}.{module}")
        except ImportError as error:
            if is_absent(error, *_PACKAGES):
                words = f"is not installed ({error}): pip install 'pykafka[{extra}]'"
            else:
                words = f"is installed but cannot be imported ({type(error).__name__}: {error}): install it anew"
            raise MissingCodecError(f"{name} needs a package that {words}") from error
    return codec


def require(number: int) -> None:
    """Return if the codec can be used.

    :raises MissingCodecError: naming the extra to install
    """
    if number:
        _codec(number)


def compress(number: int, data: Buffer) -> bytes:
    """Return ``data`` compressed as Kafka's other clients expect it.

    :raises MissingCodecError: naming the extra to install
    """
    compressed: bytes = _codec(number).compress(data)
    return compressed


def decompress(number: int, data: Buffer, max_size: int) -> bytes:
    """Return ``data`` decompressed, at most ``max_size`` bytes of it ever being in memory.

    :raises DecompressedSizeError: when there is more
    :raises ValueError: when it is not valid
    :raises MissingCodecError: naming the extra to install
    """
    decompressed: bytes = _codec(number).decompress(data, max_size)
    return decompressed
