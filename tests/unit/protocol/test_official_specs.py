"""Every declared message in every version, field by field, against the JSON specifications inside Kafka's own jars."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import zipfile
from functools import lru_cache
from typing import Any, NamedTuple, Optional

import pytest

import pykafka.protocol.messages  # noqa: F401  # fills the registries
from pykafka.protocol.schema import DATA, FOREVER, REQUESTS, RESPONSES, Field, Message, Struct
from tests.brokers.jars import clients_jar
from tests.needs import missing

NEWEST = "4.4.0"
#: The last release whose specifications still have the versions that 4.0 dropped.
OLDEST = "3.9.2"

#: (message, official field in snake case) -> our name. Empty: nothing has another name.
RENAMES: dict[tuple[str, str], str] = {}

MESSAGES: list[type[Message]] = [*REQUESTS.values(), *RESPONSES.values(), *DATA]
CASES = [(cls, version) for cls in MESSAGES for version in range(cls.MIN_VERSION, cls.MAX_VERSION + 1)]
_KINDS = {"bool": "boolean"}
_NO_VALUE: dict[str, Any] = {
    "string": "",
    "bytes": b"",
    "records": None,
    "uuid": bytes(16),
    "boolean": False,
    "float64": 0.0,
}


class Row(NamedTuple):
    """What one field looks like in one version."""

    name: str
    kind: str
    is_array: bool
    nullable: bool
    tag: Optional[int]
    default: Any
    struct: Optional[str]
    fields: tuple[Any, ...]


# -- the official side ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _texts(release: str) -> dict[str, str]:
    """Return the text of every specification of a release, by the message's name."""
    try:
        with zipfile.ZipFile(clients_jar(release)) as jar:
            found = [name for name in jar.namelist() if re.fullmatch(r"common/message/\w+\.json", name)]
            return {name[len("common/message/") : -len(".json")]: jar.read(name).decode() for name in found}
    except (OSError, RuntimeError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
        reason = f"the specifications of Kafka {release} cannot be fetched (Maven, 'mvn', gets them the first time): {error}"
        missing(reason)


def parse_spec(text: str) -> dict[str, Any]:
    """Return a specification as a dict; lines that begin with // are remarks."""
    parsed: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    shared = {struct["name"]: struct["fields"] for struct in parsed.get("commonStructs", ())}
    _fill_in(parsed.get("fields", []), shared)
    return parsed


def _fill_in(fields: list[dict[str, Any]], shared: dict[str, list[dict[str, Any]]]) -> None:
    """Give fields of a struct that is specified apart, as several have it, what the struct holds."""
    for field in fields:
        field.setdefault("fields", shared.get(field["type"].removeprefix("[]"), []))
        _fill_in(field["fields"], shared)


@lru_cache(maxsize=128)
def official(release: str, name: str) -> dict[str, Any]:
    """Return a release's specification of a message."""
    return parse_spec(_texts(release)[name])


def version_range(text: str) -> tuple[int, int]:
    """Return (first, last) of ``0-3``, ``4+``, ``7`` or ``none``."""
    if text == "none":
        return (1, 0)
    if text.endswith("+"):
        return (int(text[:-1]), FOREVER)
    first, _, last = text.partition("-")
    return (int(first), int(last or first))


def within(text: Optional[str], version: int) -> bool:
    """Return whether ``version`` is in an official range; no range holds none."""
    first, last = version_range(text or "none")
    return first <= version <= last


def snake_case(name: str) -> str:
    """Return ``ThrottleTimeMs`` as ``throttle_time_ms``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def official_default(kind: str, is_array: bool, given: Any) -> Any:
    """Return the default in Python's terms; structs have none of their own."""
    if given == "null":
        return None
    if is_array:
        return []
    if kind in _NO_VALUE and kind != "boolean" and given is None:
        return _NO_VALUE[kind]
    if kind == "string":
        return given
    if kind == "boolean":
        return given in ("true", True)
    if kind.startswith(("int", "uint")):
        return int(str(given or 0), 0)
    return None


def official_rows(spec: dict[str, Any], fields: list[dict[str, Any]], version: int) -> tuple[Row, ...]:
    """Return what the specification says of the fields in ``version``."""
    message = spec["name"]
    shared = {struct["name"]: struct["fields"] for struct in spec.get("commonStructs", ())}
    rows = []
    for field in fields:
        if not within(field["versions"], version):
            continue
        is_array = field["type"].startswith("[]")
        kind = field["type"].removeprefix("[]")
        kind = _KINDS.get(kind, kind)
        struct = kind if kind[0].isupper() else None
        kind = "struct" if struct else kind
        name = snake_case(field["name"])
        rows.append(
            Row(
                RENAMES.get((message, name), name),
                kind,
                is_array,
                within(field.get("nullableVersions"), version),
                field["tag"] if within(field.get("taggedVersions"), version) else None,
                official_default(kind, is_array, field.get("default")),
                struct,
                official_rows(spec, field.get("fields") or shared.get(struct or "", []), version),
            )
        )
    return tuple(rows)


def spec_for(cls: type[Message], version: int) -> dict[str, Any]:
    """Return the newest release's specification, or the older one for versions that the newest has dropped."""
    newest = official(NEWEST, cls.__name__)
    return newest if within(newest["validVersions"], version) else official(OLDEST, cls.__name__)


# -- our side ---------------------------------------------------------------------------------------------------------


def our_rows(cls: type[Struct], version: int) -> tuple[Row, ...]:
    """Return what we declare of the fields in ``version``."""
    return tuple(_our_row(field, version) for field in cls.FIELDS.values() if field.in_version(version))


def _our_row(field: Field, version: int) -> Row:
    one = field if field.item is None else field.item
    default = None if field.kind == "struct" else [] if field.make_default() == () else field.make_default()
    return Row(
        field.name,
        one.kind,
        field.item is not None,
        field.is_nullable(version),
        field.tag if field.is_tagged(version) else None,
        default,
        one.struct.__name__ if one.struct else None,
        our_rows(one.struct, version) if one.struct else (),
    )


def differences(ours: tuple[Row, ...], theirs: tuple[Row, ...], where: str = "") -> list[str]:
    """Return in words what is not equal; empty when all is."""
    if [row.name for row in ours] != [row.name for row in theirs]:
        return [f"{where or 'top'}: we have {[row.name for row in ours]}, Kafka has {[row.name for row in theirs]}"]
    found = []
    for mine, other in zip(ours, theirs):
        place = f"{where}.{mine.name}"
        for attribute in ("kind", "is_array", "nullable", "tag", "default", "struct"):
            left, right = getattr(mine, attribute), getattr(other, attribute)
            if left != right or type(left) is not type(right):
                found.append(f"{place}: {attribute} is {left!r}, in Kafka {right!r}")
        found += differences(mine.fields, other.fields, place)
    return found


# -- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "version"), CASES, ids=[f"{cls.__name__}-v{version}" for cls, version in CASES])
def test_fields_are_those_of_kafka(cls: type[Message], version: int) -> None:
    spec = spec_for(cls, version)
    assert within(spec["validVersions"], version)
    assert differences(our_rows(cls, version), official_rows(spec, spec["fields"], version)) == []


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_version_range_is_from_the_oldest_to_the_newest_stable(cls: type[Message]) -> None:
    oldest, _ = version_range(official(OLDEST, cls.__name__)["validVersions"])
    _, newest = version_range(official(NEWEST, cls.__name__)["validVersions"])
    # said in the request's file alone, but it holds for both directions
    if cls not in DATA and official(NEWEST, cls.NAME + "Request").get("latestVersionUnstable", False):
        newest -= 1
    assert (oldest, newest) == (cls.MIN_VERSION, cls.MAX_VERSION)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_flexible_from_the_same_version_on(cls: type[Message]) -> None:
    for release in (OLDEST, NEWEST):
        flexible = official(release, cls.__name__)["flexibleVersions"]
        assert flexible == "none" if cls.FLEXIBLE == FOREVER else version_range(flexible) == (cls.FLEXIBLE, FOREVER)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_api_key_and_direction_are_those_of_kafka(cls: type[Message]) -> None:
    spec = official(NEWEST, cls.__name__)
    kind = "data" if cls in DATA else "request" if cls in REQUESTS.values() else "response"
    assert (spec.get("apiKey", -1), spec["type"]) == (cls.KEY, kind)


def test_every_request_has_its_response() -> None:
    assert REQUESTS.keys() == RESPONSES.keys()
    assert len(REQUESTS) == 27
    for key, request in REQUESTS.items():
        response = RESPONSES[key]
        assert (request.NAME, request.MIN_VERSION, request.MAX_VERSION, request.FLEXIBLE) == (
            response.NAME,
            response.MIN_VERSION,
            response.MAX_VERSION,
            response.FLEXIBLE,
        )


def test_renames_are_of_declared_messages() -> None:
    assert {message for message, _ in RENAMES} <= {cls.__name__ for cls in MESSAGES}


# -- that the comparison can fail -------------------------------------------------------------------------------------

_VERSION = 16


def _fetch_response(change: Any = None) -> list[str]:
    spec = official(NEWEST, "FetchResponse")
    fields = copy.deepcopy(spec["fields"])
    if change is not None:
        change({"": fields, "Topic": fields[3]["fields"], "Partition": fields[3]["fields"][2]["fields"]})
    cls = RESPONSES[1]
    return differences(our_rows(cls, _VERSION), official_rows(spec, fields, _VERSION))


def _named(fields: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(field for field in fields if field["name"] == name)


DOCTORED = {
    "another order": lambda at: at["Partition"].reverse(),
    "another name": lambda at: _named(at[""], "SessionId").update(name="SessionNumber"),
    "another type": lambda at: _named(at["Partition"], "ErrorCode").update(type="int32"),
    "nullable": lambda at: _named(at["Topic"], "Partitions").update(nullableVersions="16+"),
    "not nullable": lambda at: _named(at["Partition"], "Records").pop("nullableVersions"),
    "nullable later": lambda at: _named(at["Partition"], "Records").update(nullableVersions="17+"),
    "another tag": lambda at: _named(at[""], "NodeEndpoints").update(tag=1),
    "not tagged": lambda at: _named(at["Partition"], "CurrentLeader").pop("taggedVersions"),
    "another default": lambda at: _named(at["Partition"], "LogStartOffset").update(default="-2"),
    "no default": lambda at: _named(at["Partition"], "PreferredReadReplica").pop("default"),
    "no array": lambda at: _named(at[""], "Responses").update(type="FetchableTopicResponse"),
    "another struct": lambda at: _named(at["Partition"], "AbortedTransactions").update(type="[]AbortedTransactions"),
    "a field more": lambda at: at["Partition"].append({"name": "More", "type": "int8", "versions": "16"}),
    "a field less": lambda at: at["Partition"].pop(),
    "since a later version": lambda at: _named(at["Topic"], "TopicId").update(versions="17+"),
    "until an earlier version": lambda at: _named(at["Partition"], "HighWatermark").update(versions="0-15"),
    "in a nested struct": lambda at: _named(at["Partition"], "SnapshotId")["fields"][0].update(type="uint32"),
}


def test_the_official_specification_as_it_is_shows_no_difference() -> None:
    assert _fetch_response() == []


@pytest.mark.parametrize("change", DOCTORED.values(), ids=DOCTORED.keys())
def test_a_doctored_specification_is_found_out(change: Any) -> None:
    assert _fetch_response(change) != []


def test_a_missing_jar_is_a_skip_on_a_desk_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_maven(release: str) -> Any:
        raise FileNotFoundError("mvn")

    monkeypatch.setattr(f"{__name__}.clients_jar", no_maven)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="mvn"):
        _texts.__wrapped__(NEWEST)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="mvn"):
        _texts.__wrapped__(NEWEST)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ThrottleTimeMs", "throttle_time_ms"),
        ("timeoutMs", "timeout_ms"),
        ("IsrNodes", "isr_nodes"),
        ("GenerationIdOrMemberEpoch", "generation_id_or_member_epoch"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_remarks_in_specifications_are_left_out_and_slashes_in_text_are_not() -> None:
    assert parse_spec('// License http://x\n{\n  // why\n  "about": "see http://x",\n  "apiKey": 1\n}') == {
        "about": "see http://x",
        "apiKey": 1,
    }
