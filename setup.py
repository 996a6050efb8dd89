"""How pykafka is installed."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "pykafka" / "_version.py").read_text(encoding="utf-8"))
assert VERSION is not None

FAST = ["crc32c>=2.3"]
# the last version with wheels for Python 3.9 is 25
GEVENT = ['gevent>=21.12; python_version >= "3.10"', 'gevent>=21.12,<26; python_version < "3.10"']
LZ4 = ["lz4>=4"]
SNAPPY = ["cramjam>=2.7"]
# from Python 3.14 on zstd is in the standard library
ZSTD = ['zstandard>=0.19; python_version < "3.14"']

setup(
    name="pykafka",
    version=VERSION.group(1),
    description="A Kafka client in pure Python: the friendly API of PyKafka, for Kafka 0.11 to 4.4",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    packages=find_packages(include=["pykafka", "pykafka.*"]),
    package_data={"pykafka": ["py.typed"]},
    entry_points={
        "console_scripts": ["kafka-tools = pykafka.cli.kafka_tools:main"],
        "pytest11": ["pykafka = pykafka.testing.plugin"],
    },
    python_requires=">=3.9",
    install_requires=["six", "tabulate"],
    extras_require={
        "fast": FAST,
        "gevent": GEVENT,
        "lz4": LZ4,
        "snappy": SNAPPY,
        "zstd": ZSTD,
        # pykafka.testing is a part of the library, and needs nothing more
        "testing": [],
        # progress bars of kafka-tools
        "progress": ["tqdm"],
        "all": [*FAST, *LZ4, *SNAPPY, *ZSTD],
        "test": ["pytest>=7", "pytest-xdist>=3.7", "mock", "hypothesis", *GEVENT],
        # the one looks for inputs that reach new code, the other makes hostile bytes of good ones; for Linux, and partly macOS
        "fuzz": ["atheris>=2.3", "hypothesis", "pyradamsa"],
        # design and decisions are in Markdown
        "docs": ["sphinx", "myst-parser"],
        # other clients, to exchange messages with in tests and to be compared with
        "interop": ["confluent-kafka>=2.6", "kafka-python>=2.2"],
        # matplotlib draws the charts of docs/performance.rst, pyperf times what is too short for one look at the clock
        "bench": ["kafka-python>=2.2", "python-snappy", "aiokafka>=0.12", "confluent-kafka>=2.6", "matplotlib", "pyperf"],
        "lint": ["ruff", "mypy", "pytest", "types-tabulate", "types-six"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 15)),
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
