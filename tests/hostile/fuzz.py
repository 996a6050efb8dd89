"""A campaign of hostile bytes: ``python -m tests.hostile.fuzz --seconds 600`` (``make fuzz``).

Every input that gets an error out of a target which is none of those it may raise, or that takes too long, is made small and
written to ``tests/hostile/corpus`` as ``target-hash``: the test suite gives those to their targets in every run.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Optional

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from .targets import TARGETS, golden, mutated, seeds

CORPUS = Path(__file__).parent / "corpus"
LARGEST = 4096
#: No input of this size takes so long, not even on a machine with something else to do.
MOST_SECONDS = 1.0
#: Drawing an example takes as long as a hundred decodes.
PER_EXAMPLE = 50


class Fault(Exception):
    """A target did what it must not do."""


def attack(name: str, data: bytes) -> None:
    """Give ``data`` to a target.

    :raises Fault: when something comes out that must not, or it takes too long
    """
    began = time.process_time()
    try:
        TARGETS[name](data)
    except Exception as error:
        raise Fault(f"{name}: {type(error).__name__}: {error}") from error
    took = time.process_time() - began
    if took > MOST_SECONDS:
        raise Fault(f"{name}: {len(data)} bytes took {took:.1f} s")


def fails(name: str, data: bytes) -> bool:
    """Return whether ``data`` is a fault's input."""
    try:
        attack(name, data)
    except Fault:
        return True
    return False


def smaller(name: str, data: bytes) -> bytes:
    """Return the smallest part of ``data`` found that is still a fault's input."""
    step = len(data) // 2
    while step:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + step :]
            if fails(name, shorter):
                data = shorter
            else:
                at += step
        step //= 2
    return data


def keep(name: str, data: bytes, folder: Path = CORPUS) -> Path:
    """Write a fault's input, made small, to the corpus; return the file."""
    data = smaller(name, data)
    if len(data) > LARGEST:
        print(f"{name}: cannot be made smaller than {len(data)} bytes, which is more than a file of the corpus may have")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def pool(name: str) -> list[bytes]:
    """Return what a campaign against a target begins with: our encoders' work, that of others, and what the corpus has."""
    return seeds(name) + golden(name) + [path.read_bytes() for path in sorted(CORPUS.glob(f"{name}-*"))]


def barrage(name: str, inputs: Sequence[bytes], number: int, count: int = PER_EXAMPLE) -> None:
    """Attack with ``count`` inputs that follow from ``number``."""
    chance = random.Random(number)
    for _ in range(count):
        data = mutated(chance.choice(inputs), chance)
        try:
            attack(name, data)
        except Fault as fault:
            fault.args = (*fault.args, data)
            raise


def by_hypothesis(name: str, seconds: float, seed: int) -> tuple[int, Optional[Fault]]:
    """Attack a target for some time; return how many inputs it got, and the first fault."""
    inputs = pool(name)
    ends, runs, round_ = time.monotonic() + seconds, 0, 0

    @settings(max_examples=200, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**63), st.binary(max_size=200))
    def example(number: int, noise: bytes) -> None:
        nonlocal runs
        if time.monotonic() < ends:
            barrage(name, [*inputs, noise], number)
            runs += PER_EXAMPLE

    while time.monotonic() < ends:
        try:
            seeded(seed + round_)(example)()
        except Fault as fault:
            return runs, fault
        round_ += 1
    return runs, None


def functions_of_ours(name: str) -> list[FunctionType]:
    """Return every function of ours that there is once a target has read valid inputs: codecs are compiled when first used."""
    for data in pool(name):
        TARGETS[name](data)
    # the codecs have no module: their source is text that was made, see compiler.py
    return [
        found
        for found in gc.get_objects()
        if type(found) is FunctionType and (_is_ours(found.__module__) or found.__code__.co_filename.startswith("<pykafka "))
    ]


def _is_ours(module: Optional[str]) -> bool:
    return module is not None and module.split(".")[0] == "pykafka"


def by_atheris(name: str, seconds: float, seed: int) -> None:
    """Attack a target with libFuzzer, which looks for inputs that reach new code; ends the process, with 0 if nothing was found.

    Inputs that reached something are kept in ``build/fuzz``, and are where the next campaign begins.
    """
    import atheris

    # of ours and of nothing else: what an argument parser does tells nothing of an input
    for function in functions_of_ours(name):
        atheris.instrument_func(function)
    folder = Path("build") / "fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    for data in pool(name):
        (folder / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)

    def one(data: bytes) -> None:
        try:
            attack(name, data)
        except Fault:
            traceback.print_exc()
            print(f"kept as {keep(name, data)}", flush=True)
            raise

    limits = [f"-max_total_time={max(1, int(seconds))}", f"-max_len={LARGEST}", f"-seed={seed}"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix=build/fuzz/{name}-", "-print_final_stats=1", str(folder)], one)
    atheris.Fuzz()


def each_by_atheris(names: Sequence[str], seconds: float, seed: int) -> int:
    """Attack targets with libFuzzer, one after the other, each in a process of its own; return how many had a fault."""
    found = 0
    for name in names:
        print(f"{name}:", flush=True)
        options = ["--engine", "atheris", "--target", name, "--seconds", str(seconds / len(names)), "--seed", str(seed)]
        found += subprocess.run([sys.executable, "-m", __spec__.name, *options], check=False).returncode != 0
    return found


def main(arguments: Sequence[str]) -> int:
    """Run a campaign; return 1 when it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description="Hostile bytes for everything that reads.")
    parser.add_argument("--seconds", type=float, default=600, help="how long, for all targets together (default 600)")
    parser.add_argument("--target", choices=sorted(TARGETS), help="only this one")
    parser.add_argument("--seed", type=int, default=None, help="to run a campaign again; drawn and printed when not given")
    parser.add_argument("--engine", choices=("hypothesis", "atheris"), default="hypothesis", help="atheris looks for new code")
    given_ = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**31) if given_.seed is None else given_.seed
    print(f"seed {seed}", flush=True)
    if given_.engine == "atheris" and given_.target:
        by_atheris(given_.target, given_.seconds, seed)
    names = [given_.target] if given_.target else sorted(TARGETS)
    if given_.engine == "atheris":
        return 1 if each_by_atheris(names, given_.seconds, seed) else 0
    found = 0
    for name in names:
        runs, fault = by_hypothesis(name, given_.seconds / len(names), seed)
        print(f"{name}: {runs} inputs", flush=True)
        if fault is not None:
            found += 1
            print(f"{fault.args[0]}\nkept as {keep(name, fault.args[-1])}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
