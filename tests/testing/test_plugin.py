"""The pytest fixtures, as somebody has them who tests an application of his own, and the page that shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "testing.rst"


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what pytest made of the tests in a folder, with nothing but what is installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_application_and_its_test_on_the_page_work_together(tmp_path: Path) -> None:
    example = "\n".join(blocks(PAGE, "python"))
    tests = example.count("def test_")
    (tmp_path / "test_orders.py").write_text(example)
    done = pytest_in(tmp_path)
    assert done.returncode == 0 and f"{tests} passed" in done.stdout, done.stdout + done.stderr


def test_the_test_on_the_page_fails_where_the_application_is_wrong(tmp_path: Path) -> None:
    example = "\n".join(blocks(PAGE, "python"))
    assert "consumer.commit_offsets()" in example
    (tmp_path / "test_orders.py").write_text(example.replace("consumer.commit_offsets()", "pass"))
    done = pytest_in(tmp_path)
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout + done.stderr


def test_whoever_does_not_ask_for_a_fixture_pays_next_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys, threading\n"
        "def test_nothing_is_loaded_and_nothing_runs():\n"
        "    loaded = {name for name in sys.modules if name.startswith('pykafka.')}\n"
        "    assert loaded == {'pykafka._version', 'pykafka.testing', 'pykafka.testing.plugin'}\n"
        "    assert threading.active_count() == 1\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_test_has_a_cluster_and_a_topic_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "seen = []\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_a_topic(number, kafka_topic, kafka_cluster, kafka_client):\n"
        "    assert len(kafka_topic.partitions) == 4 and len(kafka_client.brokers) == 3\n"
        "    with kafka_topic.get_producer() as producer:\n"
        "        producer.produce(b'%d' % number)\n"
        "    assert kafka_cluster.values(kafka_topic.name.decode()) == [b'%d' % number]\n"
        "    seen.append((kafka_cluster, kafka_topic.name))\n"
        "def test_they_were_different():\n"
        "    assert len({name for _, name in seen}) == 2 and seen[0][0] is not seen[1][0]\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def test_members_share_out_anew_without_waiting_for_kafkas_five_seconds(tmp_path: Path) -> None:
    (tmp_path / "test_shares.py").write_text(
        "import time\n"
        "def test_shares(kafka_topic):\n"
        "    begun, options = time.monotonic(), {'managed': True, 'consumer_timeout_ms': 20}\n"
        "    new = lambda: kafka_topic.get_balanced_consumer('g', **options)\n"
        "    with new() as one, new() as two:\n"
        "        while not len(one.partitions) == len(two.partitions) == 2:\n"
        "            one.consume(), two.consume()\n"
        "        assert time.monotonic() - begun < 3\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
