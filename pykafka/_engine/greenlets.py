"""What gevent has made of the standard library: everything that we wait with must be greenlets', or nothing of it."""

from __future__ import annotations

import sys

#: What threads here wait with, and the argument of ``monkey.patch_all()`` that leaves it out. A greenlet that waits with
#: what was left out stops all the others, also those that bring what it waits for.
WAITED_WITH = {"threading": "thread", "selectors": "select", "queue": "queue"}
#: Looking up a name stops all greenlets too where this was left out, but not for ever.
WANTED = {"socket": "socket", **WAITED_WITH}
LINES = "put these two lines first in your program{}:\n    from gevent import monkey\n    monkey.patch_all()"


def in_use() -> bool:
    """Return whether threads are greenlets."""
    return not _unpatched({"threading": "thread"})


def require_patched(what: str = "use_greenlets=True") -> None:
    """Return if gevent has patched all that is waited with, which ``what`` needs.

    :raises ImportError: saying what is missing and how to have it
    """
    missing = _unpatched(WANTED)
    if not missing:
        return
    without = ""
    if len(missing) < len(WANTED):
        reason, without = f"needs gevent to patch {_named(missing)} too", f", without {_left_out(missing)}"
    elif _is_installed():
        reason = "needs gevent to have patched the standard library"
    else:
        reason = "needs gevent, which is not installed: pip install 'pykafka[gevent]'"
    raise ImportError(f"{what} {reason}; {LINES.format(without)}")


def _is_installed() -> bool:
    import importlib.util  # only who gets an error pays for it

    return importlib.util.find_spec("gevent") is not None


def require_all_or_none() -> None:
    """Return if what is waited with is all greenlets' or all threads'.

    :raises ImportError: otherwise: everything would wait for ever
    """
    missing = _unpatched(WAITED_WITH)
    if missing and len(missing) < len(WAITED_WITH):
        done = [module for module in WAITED_WITH if module not in missing]
        raise ImportError(
            f"gevent has patched {_named(done)} but not {_named(missing)}, so that this client would wait for ever: call"
            f" monkey.patch_all() without {_left_out(missing)}, or also with {_left_out(done)}"
        )


def _unpatched(modules: dict[str, str]) -> list[str]:
    # never imported here: who has not imported it has not patched anything
    monkey = sys.modules.get("gevent.monkey")
    return [module for module in modules if monkey is None or not monkey.is_module_patched(module)]


def _named(modules: list[str]) -> str:
    return " and ".join([", ".join(modules[:-1]), modules[-1]] if len(modules) > 1 else modules)


def _left_out(modules: list[str]) -> str:
    return ", ".join(f"{WANTED[module]}=False" for module in modules)
