"""Patterns of topics as Kafka reads them, which is in RE2's language, made into Python's.

Topics have names of ASCII letters, digits, ``.``, ``_`` and ``-``, and a pattern is for all of a name: so greediness, lines and
other alphabets change nothing, and what RE2 knows of them is only checked. Refusals say what Kafka's library says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn, Optional

#: No repetition may be asked for more often.
MOST_REPEATS = 1000
_OCTAL = "01234567"
_PERL_CLASSES = "dDsSwW"
_PLACES = {"A": r"\A", "z": r"\Z", "b": r"\b", "B": r"\B"}
_CONTROLS = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
#: POSIX class -> what of it there is in ASCII, for the inside of brackets.
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z",
    "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
#: Class of Unicode -> what of it can be in the name of a topic.
_UNICODE = {
    "Any": r"\x00-\U0010ffff", "L": "A-Za-z", "Ll": "a-z", "Lu": "A-Z", "N": "0-9", "Nd": "0-9", "P": r"\-._", "Pc": "_",
    "Pd": r"\-", "Po": ".", "Latin": "A-Za-z", "Common": r"0-9\-._",
    **dict.fromkeys(("C", "Cc", "Cf", "Co", "Cs", "Lm", "Lo", "Lt", "M", "Mc", "Me", "Mn", "Nl", "No", "Pe", "Pf", "Pi"), ""),
    **dict.fromkeys(("Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Arabic", "Armenian", "Bengali"), ""),
    **dict.fromkeys(("Cyrillic", "Devanagari", "Georgian", "Greek", "Han", "Hangul", "Hebrew", "Hiragana"), ""),
    **dict.fromkeys(("Katakana", "Thai"), ""),
}  # fmt: skip
#: Nothing, for the inside of brackets: no name has it.
_NOTHING = r"\x00"
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAME = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")


class PatternError(ValueError):
    """A pattern that RE2 does not know."""


@lru_cache(maxsize=100)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern of topics as one of Python's.

    :raises PatternError: with what Kafka's library says of it
    """
    made = _Translation(pattern).run()
    try:
        return re.compile(made, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error


class _Translation:
    """One pattern, from its beginning to its end."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._made: list[str] = []
        #: for each group that is open: the flags that hold from some place in it on, to the end of each of its alternatives
        self._groups: list[list[str]] = [[]]
        self._names: set[str] = set()
        #: what can be repeated: "item", a "place", a "repeated" item; None at the beginning of a group
        self._last: Optional[str] = None

    def run(self) -> str:
        while self._at < len(self._text):
            c = self._text[self._at]
            step = _STEPS.get(c)
            if step is None:
                self._literal(c)
            else:
                step(self)
        if len(self._groups) > 1:
            self._refuse("missing closing )")
        self._made.append(")" * len(self._groups[0]))
        return "".join(self._made)

    def _refuse(self, reason: str) -> NoReturn:
        raise PatternError(reason)

    def _item(self, made: str, size: int) -> None:
        self._made.append(made)
        self._at += size
        self._last = "item"

    def _literal(self, c: str) -> None:
        self._item(re.escape(c), 1)

    # -- one step for each character that means something ---------------------------------------------------------------

    def _dot(self) -> None:
        self._item(".", 1)

    def _place(self) -> None:
        self._item(self._text[self._at], 1)
        self._last = "place"

    def _or(self) -> None:
        flags = self._groups[-1]
        self._made.append(")" * len(flags) + "|" + "".join(flags))
        self._at += 1
        self._last = None

    def _open(self) -> None:
        if not self._text.startswith("(?", self._at):
            self._begin_group("(", 1)
            return
        named, flags = _NAME.match(self._text, self._at), _FLAGS.match(self._text, self._at)
        if named is not None:
            if named[1] in self._names:
                self._refuse("duplicate capture group name")
            self._names.add(named[1])
            self._begin_group("(", len(named[0]))
        elif self._text.startswith(("(?<", "(?P<"), self._at):
            self._refuse("invalid named capture")
        elif flags is None:
            self._refuse("invalid or unsupported Perl syntax")
        else:
            on, off = flags[1].replace("U", ""), (flags[2] or "").replace("U", "")
            scope = f"(?{on}{'-' if off else ''}{off}:"
            if flags[3] == ":":
                self._begin_group(scope, len(flags[0]))
            else:
                self._groups[-1].append(scope)
                self._made.append(scope)
                self._at += len(flags[0])
                self._last = None

    def _begin_group(self, made: str, size: int) -> None:
        self._groups.append([])
        self._made.append(made)
        self._at += size
        self._last = None

    def _close(self) -> None:
        if len(self._groups) == 1:
            self._refuse("regexp/syntax: internal error")  # its own words
        self._item(")" * len(self._groups.pop()) + ")", 1)

    def _repeat(self) -> None:
        self._repeated(self._text[self._at], 1)

    def _brace(self) -> None:
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            self._literal("{")
            return
        least, most = int(found[1]), int(found[3] or found[1])
        if max(least, most) > MOST_REPEATS or most < least:
            self._refuse("invalid repeat count")
        self._repeated(found[0], len(found[0]))

    def _repeated(self, made: str, size: int) -> None:
        if self._last is None:
            self._refuse("missing argument to repetition operator")
        if self._last == "repeated":
            self._refuse("invalid nested repetition operator")
        if self._last == "place":
            self._made[-1] = f"(?:{self._made[-1]})"
        self._item(made, size)
        if self._text.startswith("?", self._at):
            self._item("?", 1)
        self._last = "repeated"

    def _escape(self) -> None:
        c = self._text[self._at + 1 : self._at + 2]
        if c == "Q":
            quoted, _end, _rest = self._text[self._at + 2 :].partition("\\E")
            self._made += map(re.escape, quoted)
            self._at += 4 + len(quoted)
            self._last = "item" if quoted else self._last
        elif c in _PLACES:
            self._item(_PLACES[c], 2)
            self._last = "place"
        else:
            inside, size = self._class_escape()
            # what is one character or a class outside of brackets is the same within
            self._item(f"[{inside}]", size)

    def _class_escape(self) -> tuple[str, int]:
        """Return what an escape stands for within brackets, and its size."""
        rest = self._text[self._at + 1 :]
        c = rest[:1]
        if not c:
            self._refuse("trailing backslash at end of expression")
        if c in _PERL_CLASSES:
            return f"\\{c}", 2
        if c in "pP":
            return self._unicode_class(rest)
        number = re.match(r"x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2})", rest)
        if number is not None:
            code = int(number[3], 8) if number[3] else int(number[1] or number[2], 16)
            if code > 0x10FFFF:
                self._refuse("invalid escape sequence")
            return re.escape(chr(code)), 1 + len(number[0])
        if c in _CONTROLS:
            return re.escape(_CONTROLS[c]), 2
        if c.isascii() and c.isalnum():
            self._refuse("invalid escape sequence")
        return re.escape(c), 2

    def _unicode_class(self, rest: str) -> tuple[str, int]:
        found = re.match(r"([pP])(?:\{(\^?)(\w+)\}|([A-Z]))", rest)
        name = (found[3] or found[4]) if found is not None else ""
        if found is None or name not in _UNICODE:
            self._refuse("invalid character class range")
        inside, is_negated = _UNICODE[name] or _NOTHING, (found[1] == "P") != bool(found[2])
        return _without(inside) if is_negated else inside, 1 + len(found[0])

    # -- brackets -------------------------------------------------------------------------------------------------------

    def _brackets(self) -> None:
        self._at += 1
        made = "["
        if self._text.startswith("^", self._at):
            made += "^"
            self._at += 1
        is_first = True
        while is_first or not self._text.startswith("]", self._at):
            is_first = False
            if self._at >= len(self._text):
                self._refuse("missing closing ]")
            made += self._posix_class() or self._range()
        self._item(made + "]", 1)

    def _posix_class(self) -> str:
        found = re.compile(r"\[:(\^?)(.*?):\]").match(self._text, self._at)
        if found is None:
            return ""
        if found[2] not in _POSIX:
            self._refuse("invalid character class range")
        self._at += len(found[0])
        return _without(_POSIX[found[2]]) if found[1] else _POSIX[found[2]]

    def _range(self) -> str:
        low, is_class = self._class_character()
        is_range = self._text.startswith("-", self._at) and not self._text.startswith("]", self._at + 1)
        if is_class or not is_range or self._at + 1 >= len(self._text):
            return low
        self._at += 1
        high, is_class = self._class_character()
        if is_class:
            self._refuse("invalid escape sequence")
        if _code(high) < _code(low):
            self._refuse("invalid character class range")
        return f"{low}-{high}"

    def _class_character(self) -> tuple[str, bool]:
        """Return the next character, or class, within brackets, and whether it is a class."""
        if self._at >= len(self._text):
            self._refuse("missing closing ]")
        c = self._text[self._at]
        if c != "\\":
            self._at += 1
            return (f"\\{c}" if c in "\\[]^-&|~" else c), False
        made, size = self._class_escape()
        is_class = self._text[self._at + 1] in _PERL_CLASSES + "pP"
        self._at += size
        return made, is_class


_STEPS = {
    ".": _Translation._dot,
    "^": _Translation._place,
    "$": _Translation._place,
    "|": _Translation._or,
    "(": _Translation._open,
    ")": _Translation._close,
    "*": _Translation._repeat,
    "+": _Translation._repeat,
    "?": _Translation._repeat,
    "{": _Translation._brace,
    "[": _Translation._brackets,
    "\\": _Translation._escape,
}


def _code(made: str) -> int:
    return ord(made[-1])


def _without(inside: str) -> str:
    """Return what else there is in ASCII, for the inside of brackets; beyond ASCII no name has anything."""
    others = "".join(map(chr, range(128)))
    return "".join(re.escape(c) for c in others if not re.fullmatch(f"[{inside}]", c))
