"""Everything that reads bytes is given what radamsa makes of valid ones, and then what libFuzzer finds to reach new code."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time

from ..hostile.fuzz import attack, keep, pool
from ..hostile.targets import TARGETS
from .proxy import mangled
from .stage import Stage

SECONDS = 15.0


def play(stage: Stage) -> str:
    """Tell the story, of one target; return how many inputs it got from radamsa."""
    name = sorted(TARGETS)[stage.seed % len(TARGETS)]
    inputs, chance = pool(name), random.Random(stage.seed)
    ends, count = time.monotonic() + SECONDS * stage.length, 0
    while time.monotonic() < ends:
        data = mangled(chance.choice(inputs), chance)
        count += 1
        try:
            attack(name, data)
        except Exception:
            print(f"kept as {keep(name, data)}")
            raise
    engine = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--engine", engine, "--target", name]
    command += ["--seconds", str(SECONDS * stage.length), "--seed", str(stage.seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{name}: {count} inputs of radamsa or flipped bits, then {engine}"
