"""What is said of a program that gevent has not patched, or only in part; gevent itself is not needed for that."""

from __future__ import annotations

import sys
import types

import pytest

from pykafka._engine import greenlets
from pykafka._engine.loop import Loop

ALL = ("socket", "threading", "selectors", "queue")


def patch(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Have it look as if gevent had patched these."""
    monkey = types.SimpleNamespace(is_module_patched=lambda name: name in modules)
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)  # type: ignore[arg-type]


def test_everything_or_nothing_patched_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch, *ALL)
    greenlets.require_patched()
    greenlets.require_all_or_none()
    for others in ((), ("socket",), ("socket", "ssl", "os")):
        patch(monkeypatch, *others)
        greenlets.require_all_or_none()


@pytest.mark.parametrize("left_out", ["threading", "selectors", "queue"])
def test_a_part_left_out_is_named_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    patch(monkeypatch, *(name for name in ALL if name != left_out))
    with pytest.raises(ImportError, match=f"but not {left_out}, so that this client would wait for ever"):
        Loop()
    with pytest.raises(ImportError, match=f"to patch {left_out} too; put these two lines first in your program, without "):
        greenlets.require_patched()


def test_without_gevent_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gevent", None)
    monkeypatch.setitem(sys.modules, "gevent.monkey", None)
    with pytest.raises(ImportError) as caught:
        greenlets.require_patched()
    assert str(caught.value) == (
        "use_greenlets=True needs gevent, which is not installed: pip install 'pykafka[gevent]'; put these two lines first in"
        " your program:\n    from gevent import monkey\n    monkey.patch_all()"
    )
    greenlets.require_all_or_none()
