"""The interpreter ends within its bound however it ends, and says in one warning exactly how many messages were lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support import ROOT

QUEUED = 10_000
SCRIPT = """
import os, signal, sys, threading, time
from pykafka import KafkaClient
from pykafka._engine import exiting
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
{settings}
topic = KafkaClient(sys.argv[1]).topics["t"]
producer = topic.get_producer()
producer.produce(b"first").result(20)
print("ready", flush=True)
sys.stdin.readline()  # the broker is frozen
for _ in range(100):
    producer.produce_many([b"x" * 100] * 100)
{ending}
"""
#: How it ends -> (code, exit status)
ENDINGS = {
    "at its end": ("", 0),
    "sys.exit()": ("sys.exit(3)", 3),
    "an exception": ("raise ValueError('a bug')", 1),
    "sys.exit() in another thread": ("threading.Thread(target=sys.exit).start()", 0),
    "SIGTERM with a handler that calls sys.exit()": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        4,
    ),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    "a daemon thread that waits for its messages": (
        "threading.Thread(target=producer.flush, daemon=True).start(); time.sleep(0.1)",
        0,
    ),
    "a daemon thread that produces on": (
        "threading.Thread(target=lambda: [time.sleep(3600)], daemon=True).start()",
        0,
    ),
}


@pytest.fixture
def broker() -> Iterator[tuple[str, int]]:
    """Yield where a broker listens, and the number of its process."""
    command = [sys.executable, "-m", "benchmarks.instant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def ended(broker: tuple[str, int], ending: str, settings: str = "", is_read: bool = True) -> tuple[int, str, float]:
    """Return (exit status, stderr, seconds) of a program whose broker is stopped in the middle of it.

    Unless stderr ``is_read``, it is looked into only after the end.
    """
    hosts, pid = broker
    command = [sys.executable, "-c", SCRIPT.format(settings=settings, ending=ending), hosts]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as program:  # type: ignore[call-overload]
        try:
            assert program.stdout.readline() == "ready\n"
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)  # returns once it has stopped: until then it goes on to take messages
            begun = time.monotonic()
            if not is_read:
                program.stdin.write("go\n")
                program.stdin.flush()
                program.wait(60)
            _out, err = program.communicate("go\n" if is_read else None, timeout=60)
            took_s = time.monotonic() - begun
        finally:
            program.kill()
            os.kill(pid, signal.SIGCONT)
    return program.returncode, err, took_s


@pytest.mark.parametrize("how", ENDINGS)
def test_what_is_lost_at_exit_is_counted_in_one_warning_however_it_ends(broker: tuple[str, int], how: str) -> None:
    ending, status = ENDINGS[how]
    code, err, seconds = ended(broker, ending, "exiting.EXIT_TIMEOUT_S = 0.5")
    said = [line for line in err.splitlines() if "pykafka" in line and "messages" in line]
    lost = f"{QUEUED} messages were not acknowledged when the interpreter exited"
    assert said == [f"pykafka: {lost}: call stop() or flush() before"]
    assert code == status, err
    assert seconds < 5


def test_with_default_settings_the_end_takes_five_seconds_at_most(broker: tuple[str, int]) -> None:
    _code, err, seconds = ended(broker, "")
    assert f"{QUEUED} messages" in err
    print(f"it took {seconds:.2f} s")
    assert 4.5 < seconds < 7


AGAIN = "threading.Thread(target=lambda: (time.sleep(0.5), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()"


def test_ctrl_c_ends_the_waiting_at_exit_and_what_is_lost_is_counted_all_the_same(broker: tuple[str, int]) -> None:
    # of two producers the second one is not waited for any more either
    second = "second = topic.get_producer(); second.produce(b'one more'); " + AGAIN
    _code, err, seconds = ended(broker, second)
    assert f"pykafka: {QUEUED + 1} messages were not acknowledged when the interpreter exited" in err
    assert "Traceback" not in err
    assert seconds < 4


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"])
def test_an_end_that_python_has_no_part_in_is_at_once(broker: tuple[str, int], ending: str) -> None:
    _code, err, seconds = ended(broker, ending)
    assert (err, seconds < 4) == ("", True)


def test_what_is_queued_at_exit_is_sent_when_the_broker_goes_on(broker: tuple[str, int]) -> None:
    thaw = f"threading.Timer(0.3, os.kill, ({broker[1]}, signal.SIGCONT)).start()"
    code, err, _seconds = ended(broker, thaw)
    assert (code, err) == (0, "")


FULL = "from tests.support import fill_stderr; fill_stderr(blocking=True)"


@pytest.mark.parametrize("handler", ["", "import logging; logging.basicConfig()"], ids=["no handler", "one that writes to it"])
def test_a_full_stderr_that_nobody_reads_does_not_hold_up_the_end(broker: tuple[str, int], handler: str) -> None:
    code, err, seconds = ended(broker, FULL, f"exiting.EXIT_TIMEOUT_S = 0.5; {handler}", is_read=False)
    assert (code, err.strip("x")) == (0, "")
    assert seconds < 5


def test_a_full_stderr_that_nobody_reads_keeps_the_warning_from_no_other_handler(broker: tuple[str, int], tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = f"exiting.EXIT_TIMEOUT_S = 0.5; import logging; logging.basicConfig(); to_file = logging.FileHandler({str(log)!r})"
    code, err, _seconds = ended(broker, FULL, f"{settings}; logging.getLogger('pykafka').addHandler(to_file)", is_read=False)
    assert (code, err.strip("x")) == (0, "")
    assert log.read_text().startswith(f"{QUEUED} messages were not acknowledged")


def test_a_full_stderr_that_is_read_in_time_has_the_warning(broker: tuple[str, int]) -> None:
    # the pipe is emptied from the beginning on
    _code, err, _seconds = ended(broker, FULL, "exiting.EXIT_TIMEOUT_S = 0.5")
    assert err.lstrip("x").startswith(f"pykafka: {QUEUED} messages were not acknowledged")
