"""Which versions of Kafka the tests run against, and which tests against which version; no broker is started."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Optional

import pytest

from tests import conftest
from tests.brokers import VERSIONS, settings
from tests.brokers.cluster import KafkaCluster, Node, _with_ids


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster of a version that is never started, so that its jars need not be there."""
    monkeypatch.setattr("tests.brokers.cluster.broker_jars", lambda version: tmp_path)
    cluster = KafkaCluster(version=request.param)
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("cluster", VERSIONS, indirect=True)
def test_a_broker_has_one_kind_of_controller_and_deletes_nothing_for_its_age(cluster: KafkaCluster) -> None:
    (node,) = cluster.nodes
    made = settings.broker_settings(node, cluster.version, cluster.nodes, 2181)
    assert ("zookeeper.connect" in made) == (cluster.zookeeper is not None) != ("process.roles" in made)
    assert f"PLAIN://127.0.0.1:{node.port}" in str(made["listeners"])
    assert made["log.retention.ms"] == -1


def test_nodes_whose_folders_were_prepared_together_have_ids_of_their_own() -> None:
    made = b"#\n#Fri Nov 27\nnode.id=1\ndirectory.id=FJxAAnLGFyf__qF3axh29g\nversion=1\ncluster.id=AAA\n"
    second, third = (_with_ids(made, number) for number in (2, 3))
    assert re.sub(rb"directory\.id=[\w-]{22}\n", b"", second) == b"#\n#Fri Nov 27\nnode.id=2\nversion=1\ncluster.id=AAA\n"
    assert b"node.id=3\n" in third and len({*made.split(), *second.split(), *third.split()} - {*made.split()}) == 4


@pytest.mark.parametrize("cluster", VERSIONS[:1], indirect=True)
@pytest.mark.parametrize("can_keep", [True, False])
def test_a_version_is_asked_once_how_it_prepares_a_folder(
    cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_keep: bool
) -> None:
    asked: list[Node] = []

    def prepare(node: Node) -> Any:
        asked.append(node)
        node.data.mkdir(parents=True)
        (node.data / "meta.properties").write_text("node.id=1\n")
        return subprocess.Popen(["true"])

    monkeypatch.setattr(Node, "format", prepare)
    cluster.jars = tmp_path / "cache" / cluster.version
    if can_keep:
        cluster.jars.mkdir(parents=True)
    for _ in range(2):
        cluster._format()
        assert [path.name for path in cluster.nodes[0].data.iterdir()] == ["meta.properties"]
        shutil.rmtree(cluster.nodes[0].data)
    assert len(asked) == (1 if can_keep else 2)


def test_there_are_dependencies_for_every_line_of_versions() -> None:
    pom = Path(settings.__file__).with_name("pom.xml").read_text()
    assert {version.split(".")[0] for version in VERSIONS} == set(re.findall(r"<id>kafka-(\d+)</id>", pom))


@pytest.mark.parametrize(
    ("limits", "version", "suits"),
    [
        ({}, "0.11.0.3", True),
        ({"since": "2.1"}, "2.1.0", True),
        ({"since": "2.1"}, "2.0.1", False),
        ({"since": "2.8"}, "2.10.0", True),
        ({"before": "3.0"}, "2.8.2", True),
        ({"before": "3.0"}, "3.0.0", False),
        ({"since": "1.0", "before": "3.0"}, "0.11.0.3", False),
        ({"before": "3.0"}, None, False),  # without --brokers it is the newest
        ({"since": "3.1"}, None, True),
    ],
)
def test_a_test_is_left_out_where_the_version_cannot_do_what_it_needs(
    request: pytest.FixtureRequest, limits: dict[str, str], version: Optional[str], suits: bool
) -> None:
    item = pytest.Function.from_parent(request.node.parent, name="made", callobj=lambda: None)
    item.add_marker(pytest.mark.kafka(**limits))
    if version is not None:
        item.callspec = type("CallSpec", (), {"params": {"broker_version": version}})()
    assert conftest._suits(item) == suits


def test_what_is_no_version_is_refused_with_an_example() -> None:
    assert list(conftest._versions("all")) == list(VERSIONS)
    assert list(conftest._versions("2.8.2,1.1.1")) == ["2.8.2", "1.1.1"]
    for wrong in ("newest", "4.4.0,", "4", "v4.4.0"):
        with pytest.raises(pytest.UsageError, match="versions of Kafka like 4.4.0, or all; not"):
            conftest._versions(wrong)
