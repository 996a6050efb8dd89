"""Messages to try codecs with, made from their declarations: default, null, empty and maximal ones, and random ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import pykafka.protocol.messages  # noqa: F401  # fills the registries
from pykafka.protocol.api import decode_data, decode_request, decode_response, encode_data, encode_request, encode_response
from pykafka.protocol.schema import DATA, REQUESTS, RESPONSES, Data, Field, Message, Request, Response, Struct

MESSAGES: list[type[Message]] = [*REQUESTS.values(), *RESPONSES.values(), *DATA]
CASES = [(cls, version) for cls in MESSAGES for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1)]
IDS = [f"{cls.__name__}-v{version}" for cls, version in CASES]
CORRELATION_ID = 0x12345678
CLIENT_ID = "tést"

_LIMITS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
}
_UNICODE = "żółć-主题-\U0001f980-" + "x" * 200
_LARGEST: dict[str, Any] = {
    **{kind: high for kind, (_, high) in _LIMITS.items()},
    "float64": 1.5e300,
    "boolean": True,
    "string": _UNICODE,
    "bytes": bytes(range(256)),
    "records": bytes(range(256)) * 20,
    "uuid": bytes(range(240, 256)),
}
_EMPTY: dict[str, Any] = {"string": "", "bytes": b"", "records": b""}


def encode(message: Message, version: int, correlation_id: int = CORRELATION_ID) -> bytes:
    """Return the frame of a message without its size."""
    if isinstance(message, Request):
        return b"".join(encode_request(message, version, correlation_id, CLIENT_ID))
    if isinstance(message, Data):
        return encode_data(message, version)
    return b"".join(encode_response(message, version, correlation_id))


def decode(cls: type[Message], version: int, frame: bytes) -> Message:
    """Return the message in a frame; what the header says must be what :func:`encode` wrote."""
    if issubclass(cls, Response):
        correlation_id, response = decode_response(cls, version, memoryview(frame))
        assert correlation_id == CORRELATION_ID
        return response
    if issubclass(cls, Data):
        data, found_version, end = decode_data(cls, frame)
        assert (found_version, end) == (version, len(frame))
        assert isinstance(data, cls)
        return data
    request, found_version, correlation_id, client_id = decode_request(memoryview(frame))
    assert (type(request), found_version, correlation_id, client_id) == (cls, version, CORRELATION_ID, CLIENT_ID)
    return request


def present_fields(cls: type[Struct], version: int) -> list[Field]:
    """Return the fields that ``version`` has."""
    return [field for field in cls.FIELDS.values() if field.in_version(version)]


def maximal(cls: type[Struct], version: int) -> Any:
    """Return a struct with the largest values everywhere, three items in every array and every tagged field set."""
    return cls(**{field.name: largest_value(field, version) for field in present_fields(cls, version)})


def largest_value(field: Field, version: int) -> Any:
    """Return the largest value of one field; never its default."""
    if field.kind == "array":
        assert field.item is not None
        return [largest_value(field.item, version) for _ in range(3)]
    if field.kind == "struct":
        assert field.struct is not None
        return maximal(field.struct, version)
    largest = _LARGEST[field.kind]
    # a tagged field with its default would be left out
    return largest if largest != field.default else largest - 1


def lowest(cls: type[Struct], version: int) -> Any:
    """Return a struct with the lowest number everywhere, and one item in every array."""
    return cls(**{field.name: _lowest(field, version) for field in present_fields(cls, version)})


def _lowest(field: Field, version: int) -> Any:
    if field.kind == "array":
        assert field.item is not None
        return [_lowest(field.item, version)]
    if field.kind == "struct":
        assert field.struct is not None
        return lowest(field.struct, version)
    return _LIMITS[field.kind][0] if field.kind in _LIMITS else _LARGEST[field.kind]


def nulls(cls: type[Struct], version: int, *, inside: bool = False) -> Any:
    """Return a struct with null wherever it may be; with ``inside``, arrays hold two items and nulls are in these."""
    values = {}
    for field in present_fields(cls, version):
        if field.struct is not None and field.item is not None and (inside or not field.is_nullable(version)):
            values[field.name] = [nulls(field.struct, version, inside=inside) for _ in range(2)]
        elif field.is_nullable(version):
            values[field.name] = None
        elif field.kind == "struct" and field.struct is not None:
            values[field.name] = nulls(field.struct, version, inside=inside)
        else:
            values[field.name] = _not_null(field)
    return cls(**values)


def _not_null(field: Field) -> Any:
    default = field.make_default()
    return _EMPTY.get(field.kind, default) if default is None else default


def empty(cls: type[Struct], version: int) -> Any:
    """Return a struct with the empty string, bytes and list wherever there is room for one, null nowhere."""
    fields = present_fields(cls, version)
    return cls(**{field.name: [] if field.kind == "array" else _EMPTY.get(field.kind, field.make_default()) for field in fields})


def default(cls: type[Struct], version: int) -> Any:
    """Return a struct with nothing given."""
    return cls()


SAMPLES = {
    "default": default,
    "null": nulls,
    "null inside": lambda cls, version: nulls(cls, version, inside=True),
    "empty": empty,
    "maximal": maximal,
    "lowest": lowest,
}


# -- random ones ------------------------------------------------------------------------------------------------------

_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    **{kind: st.integers(low, high) for kind, (low, high) in _LIMITS.items()},
    "float64": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=40),
    "records": st.binary(max_size=40),
    "uuid": st.binary(min_size=16, max_size=16),
}


def _values(field: Field, version: int) -> st.SearchStrategy[Any]:
    if field.kind == "array":
        assert field.item is not None
        made: st.SearchStrategy[Any] = st.lists(_values(field.item, version), max_size=2)
    elif field.kind == "struct":
        assert field.struct is not None
        made = structs(field.struct, version)
    else:
        made = _SCALARS[field.kind]
    return st.none() | made if field.is_nullable(version) else made


def structs(cls: type[Struct], version: int) -> st.SearchStrategy[Any]:
    """Return a strategy for structs with random values in all fields of ``version``."""
    fields = {field.name: _values(field, version) for field in present_fields(cls, version)}
    return st.fixed_dictionaries(fields).map(lambda values: cls(**values))


@st.composite
def messages(draw: st.DrawFn) -> tuple[Message, int]:
    """Draw any message in any of its versions."""
    cls, version = draw(st.sampled_from(CASES))
    return draw(structs(cls, version)), version
