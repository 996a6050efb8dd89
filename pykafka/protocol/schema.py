"""Field declarations: a message is a class whose attributes say what is on the wire, in order, and in which versions.

``since`` and ``until`` bound the versions that have a field, ``nullable`` names the first version in which it may be
None, ``tag`` puts it into the tag section (KIP-482). compiler.py turns a class and a version into code.
"""

from __future__ import annotations

from typing import Any, ClassVar, Optional, Union

#: No version is as high: the end of a range without one.
FOREVER = 32767

#: What fields hold where nothing was given; lists and structs are made when needed.
_DEFAULTS: dict[str, Any] = {
    "int8": 0,
    "int16": 0,
    "int32": 0,
    "int64": 0,
    "uint16": 0,
    "uint32": 0,
    "float64": 0.0,
    "boolean": False,
    "string": "",
    "bytes": b"",
    "records": None,
    "uuid": bytes(16),
}
#: Kind -> (struct format, size) of fields of fixed size.
FIXED = {
    "int8": ("b", 1),
    "int16": ("h", 2),
    "int32": ("i", 4),
    "int64": ("q", 8),
    "uint16": ("H", 2),
    "uint32": ("I", 4),
    "float64": ("d", 8),
    "boolean": ("?", 1),
    "uuid": ("16s", 16),
}
_BY_KIND = object()


class Field:
    """One field of a struct; made by the functions below."""

    __slots__ = (
        "default", "is_condensed", "is_tuple", "item", "kind", "name", "none_by_default", "nullable", "since", "struct", "tag",
        "tag_since", "until",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        *,
        since: int = 0,
        until: int = FOREVER,
        default: Any = _BY_KIND,
        nullable: Optional[int] = None,
        tag: Optional[int] = None,
        tag_since: Optional[int] = None,
        item: Optional[Field] = None,
        struct: Optional[type[Struct]] = None,
        is_tuple: bool = False,
        is_condensed: bool = False,
    ) -> None:
        self.name = ""
        self.kind = kind
        self.since = since
        self.until = until
        self.default = _DEFAULTS.get(kind) if default is _BY_KIND else default
        #: an array is empty unless it is said to be None
        self.none_by_default = default is None
        self.nullable = nullable
        self.tag = tag
        self.tag_since = since if tag_since is None else tag_since
        self.item = item
        self.struct = struct
        #: an array that is a tuple: see :func:`numbers`
        self.is_tuple = is_tuple
        #: an array of structs that whoever decodes may have condensed one by one: see :func:`rows`
        self.is_condensed = is_condensed

    def in_version(self, version: int) -> bool:
        """Return whether ``version`` has the field at all."""
        return self.since <= version <= self.until

    def is_tagged(self, version: int) -> bool:
        """Return whether ``version`` has the field in its tag section."""
        return self.tag is not None and self.in_version(version) and version >= self.tag_since

    def is_nullable(self, version: int) -> bool:
        """Return whether the field may be None in ``version``."""
        return self.nullable is not None and version >= self.nullable

    def make_default(self) -> Any:
        """Return the value of a field that was not given; a fresh one where it could be changed."""
        if self.kind == "array":
            return None if self.none_by_default else () if self.is_tuple else []
        if self.kind == "struct" and self.nullable is None:
            assert self.struct is not None
            return self.struct()
        return self.default


def _scalar(kind: str) -> Any:
    def declare(**options: Any) -> Any:
        return Field(kind, **options)

    declare.__name__ = declare.__qualname__ = kind
    declare.__doc__ = f"Declare a {kind} field."
    return declare


int8 = _scalar("int8")
int16 = _scalar("int16")
int32 = _scalar("int32")
int64 = _scalar("int64")
uint16 = _scalar("uint16")
uint32 = _scalar("uint32")
float64 = _scalar("float64")
boolean = _scalar("boolean")
string = _scalar("string")
bytes_ = _scalar("bytes")
records = _scalar("records")
uuid = _scalar("uuid")


def array(item: Any, **options: Any) -> Any:
    """Declare a list of scalars, ``array(int32())``, or of structs, ``array(Topic)``."""
    if isinstance(item, Field):
        return Field("array", item=item, **options)
    return Field("array", item=Field("struct", struct=item), struct=item, **options)


def numbers(item: Field, **options: Any) -> Any:
    """Declare a tuple of numbers, ``numbers(int32())``, for messages with ten thousands of them.

    Python's garbage collector goes through every list there is again and again, and lets go of tuples of numbers.
    """
    return Field("array", item=item, is_tuple=True, **options)


def rows(item: type[Struct], **options: Any) -> Any:
    """Declare a list of structs, ``rows(Topic)``, of which there may be a hundred thousand.

    Whoever decodes such a message may give a function, ``condense``: what it makes of each struct is in the list instead, so that
    there is never more than one of the structs.
    """
    return Field("array", item=Field("struct", struct=item), struct=item, is_condensed=True, **options)


def struct(cls: type[Struct], **options: Any) -> Any:
    """Declare a struct inside a struct."""
    return Field("struct", struct=cls, **options)


class _StructType(type):
    """Turns declared fields into slots, and keeps them in ``FIELDS`` in the order of the wire."""

    FIELDS: dict[str, Field]

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> _StructType:
        fields = {key: value for key, value in namespace.items() if isinstance(value, Field)}
        for key, field in fields.items():
            field.name = key
            del namespace[key]
        namespace["FIELDS"] = fields
        namespace["__slots__"] = tuple(fields)
        return super().__new__(mcls, name, bases, namespace, **options)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, namespace)


class Struct(metaclass=_StructType):
    """A group of fields. Made with keywords; what is not given has its default, in every version."""

    FIELDS: ClassVar[dict[str, Field]]

    def __init__(self, **fields: Any) -> None:
        declared = type(self).FIELDS
        for name, field in declared.items():
            if name in fields:
                value = fields.pop(name)
                setattr(self, name, tuple(value) if field.is_tuple and isinstance(value, list) else value)
            else:
                setattr(self, name, field.make_default() if field.struct or field.item else field.default)
        if fields:
            raise TypeError(f"{type(self).__name__} has no field {fields.popitem()[0]!r}; it has {', '.join(declared)}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).FIELDS)

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(getattr(self, name))}" for name in type(self).FIELDS)
        return f"{type(self).__name__}({shown})"


def _shown(value: Any) -> str:
    # never a payload: reprs end up in logs
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) != 16:
        return f"<{len(value)} bytes>"
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"<{len(value)} items>"
    return repr(value)


#: API key -> its request and its response, filled as the classes are made.
REQUESTS: dict[int, type[Request]] = {}
RESPONSES: dict[int, type[Response]] = {}


class _Top(Struct):
    """What requests and responses have in common."""

    KEY: ClassVar[int] = -1
    #: ``Fetch`` for FetchRequest and FetchResponse.
    NAME: ClassVar[str] = ""
    MIN_VERSION: ClassVar[int] = 0
    MAX_VERSION: ClassVar[int] = 0
    #: The first version with compact sizes and tag sections, and with the newer headers.
    FLEXIBLE: ClassVar[int] = FOREVER

    def __init_subclass__(cls, key: int = -1, versions: tuple[int, int] = (0, 0), flexible: Optional[int] = None) -> None:
        super().__init_subclass__()
        cls.KEY = key
        cls.MIN_VERSION, cls.MAX_VERSION = versions
        cls.FLEXIBLE = FOREVER if flexible is None else flexible
        cls.NAME = cls.__name__.removesuffix("Request").removesuffix("Response")


class Request(_Top):
    """A message to a broker."""

    def __init_subclass__(cls, key: int = -1, versions: tuple[int, int] = (0, 0), flexible: Optional[int] = None) -> None:
        super().__init_subclass__(key=key, versions=versions, flexible=flexible)
        REQUESTS[key] = cls


class Response(_Top):
    """A broker's answer."""

    def __init_subclass__(cls, key: int = -1, versions: tuple[int, int] = (0, 0), flexible: Optional[int] = None) -> None:
        super().__init_subclass__(key=key, versions=versions, flexible=flexible)
        RESPONSES[key] = cls


#: What is inside other messages, filled as the classes are made.
DATA: list[type[Data]] = []


class Data(_Top):
    """What is inside a ``bytes`` field of another message: it has no header, and its version is in front of it."""

    def __init_subclass__(cls, versions: tuple[int, int] = (0, 0), flexible: Optional[int] = None) -> None:
        super().__init_subclass__(versions=versions, flexible=flexible)
        DATA.append(cls)


Message = Union[Request, Response, Data]
