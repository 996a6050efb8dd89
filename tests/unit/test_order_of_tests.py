"""In which order several processes take the modules of tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.conftest import _mixed


def test_every_third_module_needs_brokers_the_small_ones_come_last_and_none_is_lost() -> None:
    modules = ["unit/x", "fake/a", "fake/b", "fake/c", "real/a", "real/b", "real/c", "unit/machines/m", "unit/y"]
    items: list[Any] = [SimpleNamespace(nodeid=f"tests/{name}.py::test_{number}") for name in modules for number in (1, 2)]
    mixed: list[Any] = _mixed(items)
    assert sorted(map(id, mixed)) == sorted(map(id, items))
    assert [one.nodeid.split("/", 1)[1].split(".py")[0] for one in mixed][::2] == [
        *("real/a", "fake/a", "fake/b"),
        *("real/b", "fake/c", "unit/machines/m"),
        *("real/c", "unit/x", "unit/y"),
    ]
    assert all(first.nodeid.split("::")[0] == second.nodeid.split("::")[0] for first, second in zip(mixed[::2], mixed[1::2]))
