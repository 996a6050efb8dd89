"""How Sphinx builds these pages (``make docs``), and where the page of options comes from: the tables in pykafka/config.py.

``python docs/conf.py > docs/options.rst`` writes that page anew; a test says when that is due.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pykafka import __version__, config  # noqa: E402  # found through the path above

project = "pykafka"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "alabaster"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
# what stands in a signature is what was written, not what it comes to
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "inherited-members": "object,NamedTuple,tuple", "show-inheritance": True}

_PAGES = {
    "KafkaClient": config.CLIENT,
    "get_producer()": config.PRODUCER,
    "get_simple_consumer()": config.CONSUMER,
    "get_balanced_consumer(managed=True)": config.MANAGED,
}


def options_page() -> str:
    """Return the text of options.rst."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ("Options", "=======", "", ".. made by docs/conf.py from the tables in pykafka/config.py: change those", "")
    yield from ("What is unknown, of the wrong type or out of range is refused, everything at once.", "")
    for owner, table in _PAGES.items():
        yield from (owner, "-" * len(owner), "", ".. list-table::", "    :header-rows: 1", "    :widths: 24 12 28 36", "")
        yield from ("    * - option", "      - default", "      - allowed", "      - meaning")
        for name, default, allowed, meaning in config.describe(table):
            yield from (f"    * - ``{name}``", f"      - ``{default}``", f"      - {allowed}", f"      - {meaning}")
        yield ""


if __name__ == "__main__":
    sys.stdout.write(options_page())
