"""Turns a declared message and a version into straight-line encode and decode functions, on first use.

The source can be read: ``python -m pykafka.protocol.compiler Fetch 12``. It is in linecache too, so tracebacks show it.

* Neighbouring fields of fixed size become one ``struct.pack`` or ``unpack_from``.
* Encoding appends chunks to a list. A ``records`` field appends its own buffer, so a batch is never copied on its way out.
* Decoding walks one memoryview with one position. Slices of a memoryview do not raise when they are short, so sizes are
  compared with the end of the frame, and counts of arrays with the bytes that are left, before anything is made.
* Tags that the version does not know are skipped by their size.
"""

from __future__ import annotations

import linecache
import struct as _struct
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple

from ..exceptions import EncodeError, ProtocolError
from .faults import find_fault
from .primitives import Buffer, check_string_size, check_uuid, decode_uvarint, encode_uvarint
from .schema import FIXED, Field, Message, Struct

#: What generated code may raise on malformed input besides ProtocolError, and what a wrongly typed message gives.
_DECODE_ERRORS = "(_error, IndexError, UnicodeDecodeError)"
_ENCODE_ERRORS = "(_error, TypeError, AttributeError, ValueError, OverflowError)"


class Codec(NamedTuple):
    """The two directions of one message in one version."""

    encode: Callable[[Message, Callable[[Buffer], Any]], None]
    #: (frame, begin, end, condense): see :func:`~pykafka.protocol.schema.rows` for the last one, which may be left out
    decode: Callable[..., tuple[Any, int]]


class _Writer:
    """Collects lines of source and the values they refer to."""

    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._indent = 0
        self._count = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self._indent + text)

    def block(self, text: str) -> _Writer:
        """Write ``text`` and indent what follows, until the ``with`` block ends."""
        self.line(text)
        return self

    def __enter__(self) -> None:
        self._indent += 1

    def __exit__(self, *exc_info: object) -> None:
        self._indent -= 1

    def fresh(self, stem: str) -> str:
        """Return a local name that is not in use."""
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, stem: str, value: Any) -> str:
        """Return a name under which generated code finds ``value``."""
        for name, known in self.names.items():
            if known is value:
                return name
        name = self.fresh("_" + stem)
        self.names[name] = value
        return name

    def packer(self, fmt: str) -> _struct.Struct:
        found = [one for one in self.names.values() if isinstance(one, _struct.Struct) and one.format == fmt]
        return found[0] if found else _struct.Struct(fmt)

    def plain_fields(self, cls: type[Struct]) -> list[Field]:
        """Return the fields outside of the tag section, in order."""
        fields = cls.FIELDS.values()
        return [field for field in fields if field.in_version(self.version) and not field.is_tagged(self.version)]

    def tagged_fields(self, cls: type[Struct]) -> list[Field]:
        """Return the fields inside the tag section, by tag."""
        return sorted((one for one in cls.FIELDS.values() if one.is_tagged(self.version)), key=lambda one: one.tag or 0)

    def runs(self, fields: Iterable[Field]) -> list[list[Field]]:
        """Return ``fields`` in order, neighbours of fixed size together."""
        groups: list[list[Field]] = []
        for field in fields:
            if field.kind in FIXED and groups and groups[-1][0].kind in FIXED:
                groups[-1].append(field)
            else:
                groups.append([field])
        return groups


def _format(fields: list[Field]) -> str:
    return ">" + "".join(FIXED[field.kind][0] for field in fields)


# -- encoding ---------------------------------------------------------------------------------------------------------


class _Encoder(_Writer):
    def message(self, cls: type[Message]) -> str:
        with self.block("def encode(m, w):"):
            with self.block("try:"):
                self.struct(cls, "m")
            with self.block(f"except {_ENCODE_ERRORS} as error:"):
                text = f"{cls.__name__} v{self.version} cannot be encoded: "
                self.line(f"raise _EncodeError({text!r} + _find_fault(m, {self.version})) from error")
        return "\n".join(self.lines) + "\n"

    def struct(self, cls: type[Struct], m: str) -> None:
        for run in self.runs(self.plain_fields(cls)):
            if run[0].kind in FIXED:
                pack = self.constant("pack", self.packer(_format(run)))
                values = (f"_uuid({m}.{field.name})" if field.kind == "uuid" else f"{m}.{field.name}" for field in run)
                self.line(f"w({pack}.pack({', '.join(values)}))")
            else:
                self.value(run[0], f"{m}.{run[0].name}")
        if self.flexible:
            self.tags(cls, m)
        elif not self.plain_fields(cls):
            self.line("pass")

    def value(self, field: Field, source: str) -> None:
        v = self.fresh("v")
        self.line(f"{v} = {source}")
        if field.is_nullable(self.version):
            with self.block(f"if {v} is None:"):
                self.line(f"w({self.null(field)!r})")
            with self.block("else:"):
                self.present(field, v)
        else:
            self.present(field, v)

    def null(self, field: Field) -> bytes:
        if field.kind == "struct":
            return b"\xff"
        if self.flexible:
            return b"\0"
        return b"\xff\xff" if field.kind == "string" else b"\xff\xff\xff\xff"

    def size(self, field: Field, count: str) -> None:
        if self.flexible:
            self.line(f"w(_uvarint({f'_string_size({count})' if field.kind == 'string' else count} + 1))")
        else:
            pack = self.constant("pack", self.packer(">h" if field.kind == "string" else ">i"))
            self.line(f"w({pack}.pack({count}))")

    def present(self, field: Field, v: str) -> None:
        if field.kind in FIXED:
            pack = self.constant("pack", self.packer(_format([field])))
            self.line(f"w({pack}.pack({f'_uuid({v})' if field.kind == 'uuid' else v}))")
        elif field.kind == "string":
            self.line(f"{v} = {v}.encode()")
            self.size(field, f"len({v})")
            self.line(f"w({v})")
        elif field.kind in ("bytes", "records"):
            self.size(field, f"len({v})")
            # text has a length too, and would be found out only when the chunks are put together
            self.line(f"w(memoryview({v}))" if field.kind == "bytes" else f"w({v})")
        elif field.kind == "struct":
            if field.is_nullable(self.version):
                self.line(r"w(b'\x01')")
            assert field.struct is not None
            self.struct(field.struct, v)
        else:
            self.array(field, v)

    def array(self, field: Field, v: str) -> None:
        item = field.item
        assert item is not None
        self.size(field, f"len({v})")
        if item.kind in FIXED:
            packed = f"_pack('>%d{FIXED[item.kind][0]}' % len({v}), *{v})"
            self.line(f"w(b''.join(map(_uuid, {v})))" if item.kind == "uuid" else f"w({packed})")
            return
        one = self.fresh("m")
        with self.block(f"for {one} in {v}:"):
            if item.kind == "struct":
                assert item.struct is not None
                self.struct(item.struct, one)
            else:
                self.value(item, one)

    def tags(self, cls: type[Struct], m: str) -> None:
        fields = self.tagged_fields(cls)
        if not fields:
            self.line(r"w(b'\0')")
            return
        tags = self.fresh("tags")
        outer = self.fresh("w")
        self.line(f"{tags} = []")
        self.line(f"{outer} = w")
        for field in fields:
            default = self.constant("default", field.make_default()) if field.kind in ("struct", "array") else repr(field.default)
            with self.block(f"if {m}.{field.name} != {default}:"):
                chunks = self.fresh("chunks")
                self.line(f"{chunks} = []")
                self.line(f"w = {chunks}.append")
                self.value(field, f"{m}.{field.name}")
                self.line(f"{chunks} = b''.join({chunks})")
                self.line(f"{tags}.append(_uvarint({field.tag}) + _uvarint(len({chunks})) + {chunks})")
        self.line(f"w = {outer}")
        self.line(f"w(_uvarint(len({tags})))")
        with self.block(f"for {outer} in {tags}:"):
            self.line(f"w({outer})")


# -- decoding ---------------------------------------------------------------------------------------------------------


class _Decoder(_Writer):
    def message(self, cls: type[Message]) -> str:
        with self.block("def decode(b, p, end, condense=None):"):
            with self.block("try:"):
                self.struct(cls, "m")
                self.line("return m, p")
            with self.block(f"except {_DECODE_ERRORS} as error:"):
                text = f"{cls.__name__} v{self.version} is malformed near byte "
                self.line(f"raise _ProtocolError({text!r} + str(p) + ': ' + repr(error)) from error")
        return "\n".join(self.lines) + "\n"

    def struct(self, cls: type[Struct], m: str) -> None:
        self.line(f"{m} = _new({self.constant('cls', cls)})")
        for field in cls.FIELDS.values():
            if not field.in_version(self.version) or field.is_tagged(self.version):
                self.line(f"{m}.{field.name} = {self.default(field)}")
        for run in self.runs(self.plain_fields(cls)):
            if run[0].kind in FIXED:
                self.fixed(run, m)
            else:
                self.value(run[0], f"{m}.{run[0].name}")
        if self.flexible:
            self.tags(cls, m)

    def default(self, field: Field) -> str:
        if field.kind == "array":
            return "()" if field.is_tuple else "[]"
        if field.kind == "struct":
            # shared by all messages, which nobody changes after decoding
            return self.constant("default", field.make_default())
        return repr(field.default)

    def fixed(self, run: list[Field], m: str) -> None:
        fmt = _format(run)
        targets = "".join(f"{m}.{field.name}, " for field in run)
        unpack = self.constant("unpack", self.packer(fmt))
        self.line(f"{targets.rstrip() if len(run) == 1 else targets.rstrip(', ')} = {unpack}.unpack_from(b, p)")
        self.line(f"p += {_struct.calcsize(fmt)}")

    def uvarint(self, name: str) -> None:
        self.line(f"{name} = b[p]")
        self.line("p += 1")
        with self.block(f"if {name} > 127:"):
            self.line(f"{name}, p = _decode_uvarint(b, p - 1)")

    def size(self, field: Field, n: str) -> None:
        """Read a size or count into ``n``; -1 stands for null."""
        if self.flexible:
            self.uvarint(n)
            self.line(f"{n} -= 1")
        else:
            fmt = ">h" if field.kind == "string" else ">i"
            self.line(f"{n}, = {self.constant('unpack', self.packer(fmt))}.unpack_from(b, p)")
            self.line(f"p += {_struct.calcsize(fmt)}")

    def value(self, field: Field, target: str) -> None:
        if field.kind in FIXED:
            unpack = self.constant("unpack", self.packer(_format([field])))
            self.line(f"{target}, = {unpack}.unpack_from(b, p)")
            self.line(f"p += {FIXED[field.kind][1]}")
            return
        if field.kind == "struct":
            self.nested(field, target)
            return
        n = self.fresh("n")
        self.size(field, n)
        if field.is_nullable(self.version):
            with self.block(f"if {n} == -1:"):
                self.line(f"{target} = None")
            with self.block("else:"):
                self.present(field, target, n)
        else:
            self.present(field, target, n)

    def nested(self, field: Field, target: str) -> None:
        assert field.struct is not None
        one = self.fresh("m")
        if not field.is_nullable(self.version):
            self.struct(field.struct, one)
            self.line(f"{target} = {one}")
            return
        self.line("p += 1")
        with self.block("if b[p - 1] == 255:"):
            self.line(f"{target} = None")
        with self.block("else:"):
            self.struct(field.struct, one)
            self.line(f"{target} = {one}")

    def refuse(self, field: Field, n: str) -> None:
        self.line(f"raise _ProtocolError('impossible size ' + str({n}) + ' of {field.name or 'an item'} at byte ' + str(p))")

    def present(self, field: Field, target: str, n: str) -> None:
        if field.kind == "array":
            self.array(field, target, n)
            return
        q = self.fresh("q")
        self.line(f"{q} = p + {n}")
        with self.block(f"if {n} < 0 or {q} > end:"):
            self.refuse(field, n)
        values = {"string": f"str(b[p:{q}], 'utf-8')", "bytes": f"bytes(b[p:{q}])", "records": f"b[p:{q}]"}
        self.line(f"{target} = {values[field.kind]}")
        self.line(f"p = {q}")

    def array(self, field: Field, target: str, n: str) -> None:
        item = field.item
        assert item is not None
        with self.block(f"if {n} < 0 or {n} > (end - p) // {self.least(item)}:"):
            self.refuse(field, n)
        if item.kind in FIXED:
            code, size = FIXED[item.kind]
            fmt = f"'>' + '{code}' * {n}" if item.kind == "uuid" else f"'>%d{code}' % {n}"
            unpacked = f"_unpack_from({fmt}, b, p)"
            self.line(f"{target} = {unpacked if field.is_tuple else f'list({unpacked})'}")
            self.line(f"p += {size} * {n}")
            return
        items, one = self.fresh("a"), self.fresh("m")
        self.line(f"{items} = {target} = []")
        with self.block(f"for _ in range({n}):"):
            if item.kind == "struct":
                assert item.struct is not None
                self.struct(item.struct, one)
            else:
                self.value(item, one)
            self.line(f"{items}.append({f'condense({one}) if condense else {one}' if field.is_condensed else one})")

    def least(self, field: Field) -> int:
        """Return the fewest bytes that a value of ``field`` takes: what bounds a believable count."""
        if field.kind in FIXED:
            return FIXED[field.kind][1]
        if field.kind == "struct":
            assert field.struct is not None
            inner = sum(self.least(one) for one in self.plain_fields(field.struct))
            return max(1, inner + (1 if self.flexible else 0))
        if self.flexible:
            return 1
        return 2 if field.kind == "string" else 4

    def tags(self, cls: type[Struct], m: str) -> None:
        count, tag, size, stop = (self.fresh(stem) for stem in ("n", "t", "s", "q"))
        self.uvarint(count)
        if not self.tagged_fields(cls):
            with self.block(f"for _ in range({count}):"):
                self.tag_header(tag, size, stop)
                self.line(f"p = {stop}")
            return
        last = self.fresh("last")
        self.line(f"{last} = -1")
        with self.block(f"for _ in range({count}):"):
            self.tag_header(tag, size, stop)
            with self.block(f"if {tag} <= {last}:"):
                self.line(f"raise _ProtocolError('tag ' + str({tag}) + ' out of order at byte ' + str(p))")
            self.line(f"{last} = {tag}")
            word = "if"
            for field in self.tagged_fields(cls):
                with self.block(f"{word} {tag} == {field.tag}:"):
                    self.value(field, f"{m}.{field.name}")
                    with self.block(f"if p != {stop}:"):
                        text = f"tag {field.tag} ({field.name}) has a wrong size before byte "
                        self.line(f"raise _ProtocolError({text!r} + str(p))")
                word = "elif"
            with self.block("else:"):
                self.line(f"p = {stop}")

    def tag_header(self, tag: str, size: str, stop: str) -> None:
        self.uvarint(tag)
        self.uvarint(size)
        self.line(f"{stop} = p + {size}")
        with self.block(f"if {stop} > end:"):
            self.line(f"raise _ProtocolError('tag ' + str({tag}) + ' runs beyond the end, at byte ' + str(p))")


# -- putting it together ----------------------------------------------------------------------------------------------

_codecs: dict[tuple[type[Message], int], Codec] = {}


def source_of(cls: type[Message], version: int) -> tuple[str, dict[str, Any]]:
    """Return the source of both functions, and the names it needs."""
    flexible = version >= cls.FLEXIBLE
    encoder, decoder = _Encoder(version, flexible), _Decoder(version, flexible)
    decoder.names = encoder.names
    source = encoder.message(cls)
    # names of both share one namespace
    decoder._count = encoder._count
    source += "\n\n" + decoder.message(cls)
    names = {
        **encoder.names,
        "_new": object.__new__,
        "_error": _struct.error,
        "_pack": _struct.pack,
        "_unpack_from": _struct.unpack_from,
        "_uvarint": encode_uvarint,
        "_string_size": check_string_size,
        "_uuid": check_uuid,
        "_decode_uvarint": decode_uvarint,
        "_ProtocolError": ProtocolError,
        "_EncodeError": EncodeError,
        "_find_fault": find_fault,
    }
    return source, names


def compile_codec(cls: type[Message], version: int) -> Codec:
    """Return the codec of ``cls`` in ``version``; there are as many as messages and versions, so the cache is bounded.

    :raises ProtocolError: for a version that is not declared
    """
    codec = _codecs.get((cls, version))
    if codec is None:
        if not cls.MIN_VERSION <= version <= cls.MAX_VERSION:
            raise ProtocolError(f"{cls.__name__} has versions {cls.MIN_VERSION} to {cls.MAX_VERSION}, not {version}")
        source, names = source_of(cls, version)
        filename = f"<pykafka {cls.__name__} v{version}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec"), names)  # noqa: S102  # our own text, as dataclasses do
        codec = _codecs[(cls, version)] = Codec(names["encode"], names["decode"])
    return codec


def main(arguments: list[str]) -> int:
    """Print the code generated for ``Fetch 12``, both request and response."""
    from . import messages

    known = sorted(name.removesuffix("Request") for name in messages.__all__ if name.endswith("Request"))
    if len(arguments) != 2 or arguments[0] not in known or not arguments[1].isdigit():
        print(f"usage: python -m pykafka.protocol.compiler Fetch 12\nmessages: {', '.join(known)}")
        return 2
    for suffix in ("Request", "Response"):
        cls = getattr(messages, arguments[0] + suffix)
        if not cls.MIN_VERSION <= int(arguments[1]) <= cls.MAX_VERSION:
            print(f"{cls.__name__} has versions {cls.MIN_VERSION} to {cls.MAX_VERSION}")
            return 2
        print(f"# {cls.__name__} v{arguments[1]}")
        print(source_of(cls, int(arguments[1]))[0])
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
