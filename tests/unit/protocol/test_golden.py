"""Bytes that kafka-python made from the fields beside them: ours are the same, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pykafka.protocol import messages
from pykafka.protocol.api import decode_request, encode_request
from pykafka.protocol.compiler import compile_codec
from pykafka.protocol.schema import Struct

FOLDER = Path(__file__).parents[2] / "golden" / "protocol"
GOLDEN = json.loads((FOLDER / "kafka_python.json").read_text())
#: What kafka-python does not speak.
JAVA = json.loads((FOLDER / "kafka_java.json").read_text())
ROWS: list[dict[str, Any]] = GOLDEN["messages"] + JAVA["messages"]
REQUEST_ROWS = [row for row in ROWS if "frame" in row]


def _ids(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['message']}-v{row['version']}" for row in rows]


def _made(cls: type[Struct], fields: dict[str, Any]) -> Any:
    return cls(**{name: _value(cls, name, value) for name, value in fields.items()})


def _value(cls: type[Struct], name: str, value: Any) -> Any:
    struct = cls.FIELDS[name].struct
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    if struct is not None and value is not None:
        return [_made(struct, one) for one in value] if isinstance(value, list) else _made(struct, value)
    return value


def _read_golden(row: dict[str, Any]) -> tuple[Any, int, Any]:
    cls = getattr(messages, row["message"])
    return cls, row["version"], _made(cls, row["fields"])


def test_golden_bytes_are_of_every_message() -> None:
    assert {row["message"] for row in ROWS} == set(messages.__all__)
    assert all(row["body"] or not row["fields"] for row in ROWS)
    assert all(row["message"].endswith("Request") for row in REQUEST_ROWS)


@pytest.mark.parametrize("row", ROWS, ids=_ids(ROWS))
def test_we_write_the_golden_bytes(row: dict[str, Any]) -> None:
    cls, version, message = _read_golden(row)
    chunks: list[bytes] = []
    compile_codec(cls, version).encode(message, chunks.append)
    assert b"".join(chunks).hex() == row["body"]


@pytest.mark.parametrize("row", ROWS, ids=_ids(ROWS))
def test_we_read_the_golden_bytes(row: dict[str, Any]) -> None:
    cls, version, message = _read_golden(row)
    body = memoryview(bytes.fromhex(row["body"]))
    assert compile_codec(cls, version).decode(body, 0, len(body)) == (message, len(body))


@pytest.mark.parametrize("row", REQUEST_ROWS, ids=_ids(REQUEST_ROWS))
def test_whole_frames_are_the_golden_ones(row: dict[str, Any]) -> None:
    _, version, message = _read_golden(row)
    frame = b"".join(encode_request(message, version, GOLDEN["correlation_id"], GOLDEN["client_id"]))
    assert (len(frame).to_bytes(4, "big") + frame).hex() == row["frame"]
    sent = memoryview(bytes.fromhex(row["frame"]))[4:]
    assert decode_request(sent) == (message, version, GOLDEN["correlation_id"], GOLDEN["client_id"])
