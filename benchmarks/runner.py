"""Runs of a protocol: one process an arm and seed, resumable, in parallel where cores allow.

`python -m serm.benchmarks.runner PROTOCOL ARM SEED OUT FOLD` is one run; `run_protocol` starts the missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serm.benchmarks.protocol import Protocol, read_protocol, run_folder
from serm.core.discretion import without_logins
from serm.core.errors import SermError
from serm.storage.artifacts import write_json

DONE: Final = "done.json"
LOG: Final = "log.txt"


@dataclass(frozen=True, slots=True)
class Run:
    """One arm under one seed, in one fold where the protocol has several."""

    arm: str
    seed: int
    folder: Path
    fold: str = ""

    @property
    def done(self) -> bool:
        return (self.folder / DONE).is_file()


class RunFailedError(SermError):
    """A run ended with an error; the others are kept."""


def runs_of(out: Path, arms: Sequence[str], seeds: Sequence[int], folds: Iterable[str] = ("",)) -> list[Run]:
    """All runs, seed by seed: what the arms of a seed share is made by the first and found by the others."""
    places = [(seed, fold) for seed in seeds for fold in folds]
    return [Run(arm, seed, run_folder(out, arm, seed, fold), fold) for seed, fold in places for arm in arms]


def run_protocol(
    file: Path,
    out: Path,
    runs: Sequence[Run],
    *,
    jobs: int,
    tell: Callable[[str], None],
) -> None:
    """Start every run that is not done, `jobs` at a time, each with its share of the cores.

    The first run of each seed and fold goes alone: it makes the seed model that the others find. A killed run
    goes on where it stopped. Raises RunFailedError, after all others have ended, where one failed.
    """
    protocol = read_protocol(file)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    for seed in dict.fromkeys(run.seed for run in runs):
        prepare(protocol, seed, out)
    left = [run for run in runs if not run.done]
    first = list({(run.seed, run.fold): run for run in reversed(left)}.values())[::-1]
    rest = [run for run in left if run not in first]
    failed: list[Run] = []
    count, lock = [len(runs) - len(left)], threading.Lock()

    def one(run: Run) -> None:
        began = time.monotonic()
        code = _start(file, out, run, threads)
        with lock:
            count[0] += code == 0
            if code:
                failed.append(run)
            outcome = f"{time.monotonic() - began:.0f} s" if not code else f"failed, see {run.folder / LOG}"
            tell(f"{count[0]}/{len(runs)} {run.arm}, {_place(run)}: {outcome}")

    for wave in (first, rest):
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, wave))
    if failed:
        names = ", ".join(f"{run.arm} ({_place(run)})" for run in failed)
        raise RunFailedError(
            f"{len(failed)} of {len(runs)} runs failed: {names}.",
            f"Look at {failed[0].folder / LOG}; the same command goes on with what is missing.",
        )


def _place(run: Run) -> str:
    return f"seed {run.seed}, {run.fold}" if run.fold else f"seed {run.seed}"


def prepare(protocol: Protocol, seed: int, out: Path) -> None:
    """Write the marketplace of a seed where the protocol has one and it is missing."""
    if protocol.marketplace is None:
        return
    from serm.benchmarks.marketplace.generate import write

    folder = out.resolve() / "data" / f"seed-{seed}"
    if not (folder / "pairs.parquet").is_file():
        write(folder, protocol.market(seed))


def _start(file: Path, out: Path, run: Run, threads: int) -> int:
    """Run in a process of its own, and wait. Its output goes to the run's log."""
    run.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    given = [str(file), run.arm, str(run.seed), str(out), run.fold]
    command = [sys.executable, "-m", "serm.benchmarks.runner", *given]
    with (run.folder / LOG).open("a", encoding="utf-8") as log:
        return subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode


def run_once(file: Path, arm: str, seed: int, out: Path, fold: str = "") -> None:
    """One arm under one seed, in this process, until its stream ends."""
    from serm.graphs.run import evolve

    began = time.monotonic()
    settings = read_protocol(file).settings(arm, seed, out, fold)
    result = evolve(settings)
    if not result.stop:
        raise RunFailedError("the run was stopped before its end.", "The same command goes on.")
    folder = run_folder(out, arm, seed, fold)
    spent = [report.get("seconds", 0.0) for report in result.rounds]
    figures = {"stop": result.stop, "seconds": time.monotonic() - began, "round_seconds": spent}
    write_json(folder / DONE, figures | {"settings": without_logins(settings.model_dump(mode="json"))})


if __name__ == "__main__":
    try:
        run_once(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
    except SermError as error:
        sys.exit(f"serm: {error}")
