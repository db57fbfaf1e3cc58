"""Runs of a protocol: one process an arm and seed, resumable, in parallel where cores allow.

`python -m serm.benchmarks.runner PROTOCOL ARM SEED OUT FOLD` is one run; `run_protocol` starts the missing,
and names its own process to each, behind the fold: a run ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from serm.benchmarks.children import Children, ended_with_us
from serm.benchmarks.contents import contents
from serm.benchmarks.made_by_code import code_version
from serm.benchmarks.protocol import Protocol, read_protocol, run_folder
from serm.benchmarks.run_record import cores, made_from, made_on, made_otherwise, require_same
from serm.benchmarks.runs import DONE, Run
from serm.benchmarks.shared_judgments import require_names
from serm.core.errors import ConfigError, SermError, WorkspaceMismatchError
from serm.storage.artifacts import storage_errors, write_json
from serm.storage.binding import difference

if TYPE_CHECKING:
    from serm.core.settings import Settings
    from serm.graphs.run import EvolutionResult

LOG: Final = "log.txt"
BEGUN: Final = "begun.json"
_CODE: Final = "serm"
_MADE: Final = "made"
"""Its keys of the versions of the code and of the settings, beside those of the files."""
STOPPED: Final = "The runs were stopped; the same command goes on with them."


class RunFailedError(SermError):
    """Runs ended with an error, or are not at their end; the others are kept."""


class RunWaitsError(SermError):
    """A run can go no further for now: a person is to answer, or its money is spent."""

    exit_code = 13  # tells it from a failed run


def run_protocol(
    file: Path,
    out: Path,
    runs: Sequence[Run],
    *,
    jobs: int,
    tell: Callable[[str], None],
) -> None:
    """Start every run that is not done, `jobs` at a time, each with its share of the cores.

    The first run of each seed and fold goes before the others, which find the seed model that it made. A
    killed run goes on where it stopped. Raises RunFailedError, after all others have ended, where one failed
    or waits; WorkspaceMismatchError, before any is started, where what is done was made under other settings
    or from files that were edited since, and at the end where one was edited meanwhile; ConfigError where two
    arms of the protocol, started or not, ask two servers by one judge's name. Ctrl-C and SIGTERM end all.
    """
    protocol = read_protocol(file)
    require_same(protocol, runs, out)
    require_names(_every_arm(protocol, runs, out))
    threads = max(1, cores() // jobs)
    for seed in dict.fromkeys(run.seed for run in runs):
        prepare(protocol, seed, out)
    left = [run for run in runs if not run.done]
    made = {(run.seed, run.fold) for run in runs if run.done}
    alone = [run for run in left if (run.seed, run.fold) not in made]
    first = list({(run.seed, run.fold): run for run in reversed(alone)}.values())[::-1]
    rest = [run for run in left if run not in first]
    failed: dict[Run, str] = {}
    waits: dict[Run, str] = {}
    count, lock, children = [len(runs) - len(left)], threading.Lock(), Children()

    def one(run: Run) -> None:
        began, log = time.monotonic(), run.folder / LOG
        earlier = log.stat().st_size if log.is_file() else 0  # of an attempt before
        code = _start(file, out, run, threads, children)
        with lock:
            count[0] += code == 0
            outcome = f"{time.monotonic() - began:.0f} s"
            if code:
                said = _said(log, earlier, code)
                (waits if code == RunWaitsError.exit_code else failed)[run] = said
                outcome = f"{said} ({log})"
            tell(f"{count[0]}/{len(runs)} {run.arm}, {run.place}: {outcome}")

    for wave in (first, rest):
        # The pool waits for its threads, and they for the runs: those are ended before.
        with ThreadPoolExecutor(jobs) as pool, ended_with_us(children, lambda: tell(STOPPED)):
            list(pool.map(one, wave))
    require_same(protocol, runs, out)
    if failed or waits:
        raise _not_all(len(runs), failed, waits)


def _every_arm(protocol: Protocol, runs: Sequence[Run], out: Path) -> Iterator[tuple[str, Settings]]:
    """The arms with their settings, also those that `runs` are not of: what one has asked before, or asks
    later, is told to the others. Of these one that the config is not for is left out, as it cannot run."""
    asked = {run.arm for run in runs}
    places = dict.fromkeys((run.seed, run.fold) for run in runs)
    for arm, (seed, fold) in product(protocol.arms, places):
        try:
            yield arm, protocol.settings(arm, seed, out, fold)
        except ConfigError:
            if arm in asked:
                raise


def _not_all(count: int, failed: Mapping[Run, str], waits: Mapping[Run, str]) -> RunFailedError:
    """The error of `count` runs of which some failed and some wait, each with what it said last."""
    said = [
        f"{len(those)} of {count} runs {what}: {', '.join(f'{run.arm} ({run.place})' for run in those)}."
        for what, those in (("failed", failed), ("are not at their end", waits))
        if those
    ]
    if failed:
        remedy = f"Look at {next(iter(failed)).folder / LOG}; the same command goes on with what is missing."
    else:
        run, its = next(iter(waits.items()))
        remedy = f"{run.arm}: {its} Then the same command goes on."
    return RunFailedError(" ".join(said), remedy)


def _said(log: Path, earlier: int, code: int) -> str:
    """What a run that did not end said last, and by which signal it was ended, if by one: of one that is out
    of memory there is nothing else. The first `earlier` bytes of its log are of attempts before."""
    with log.open("rb") as file:
        file.seek(earlier)
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"ended by {_signal(-code)}: {last}" if code < 0 else last


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those without a name
        return f"signal {number}"


def prepare(protocol: Protocol, seed: int, out: Path) -> None:
    """Write the marketplace of a seed where the protocol has one and it is missing."""
    if protocol.marketplace is not None:
        from serm.benchmarks.marketplace.once import write_once

        write_once(out.resolve() / "data" / f"seed-{seed}", protocol.market(seed))


def _start(file: Path, out: Path, run: Run, threads: int, children: Children) -> int:
    """Run in a process of its own, and wait. Its output goes to the run's log."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with storage_errors(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        log = (run.folder / LOG).open("a", encoding="utf-8")
    with log:
        return children.run(_command(file, out, run), log, environment)


def _command(file: Path, out: Path, run: Run) -> list[str]:
    given = [str(file), run.arm, str(run.seed), str(out), run.fold, str(os.getpid())]
    return [sys.executable, "-m", "serm.benchmarks.runner", *given]


def run_once(file: Path, arm: str, seed: int, out: Path, fold: str = "") -> None:
    """One arm under one seed, in this process, until its stream ends."""
    from serm.graphs.run import evolve

    began = time.monotonic()
    protocol = read_protocol(file)
    settings = protocol.settings(arm, seed, out, fold)
    read = contents(settings, generated=protocol.marketplace is not None)  # as it is now, not hours later
    made = made_from(settings, protocol.market(seed) if protocol.marketplace else None)
    versions = _begin(run_folder(out, arm, seed, fold), read, made)
    result = evolve(settings)
    if not result.stop:
        raise RunFailedError("the run was stopped before its end.", "The same command goes on.")
    if not result.ended:
        raise _waits(result)
    spent = [report.get("seconds", 0.0) for report in result.rounds]
    figures = {"stop": result.stop, "seconds": time.monotonic() - began, "round_seconds": spent}
    told = figures | made_on() | made | {"read": read, "serm": versions}
    write_json(run_folder(out, arm, seed, fold) / DONE, told)


def _begin(folder: Path, read: Mapping[str, str], made: Mapping[str, Any]) -> str:
    """Note what a run reads, the settings it is made by, and by which code: "0.1.0 1f3a..."; of one that was
    killed and went on by another version, both. Raises WorkspaceMismatchError where a file was edited since
    it began, or a setting that decides what a table shows. What an earlier version did not note is taken as
    it is."""
    file = folder / BEGUN
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {_CODE: [], **read}
    versions = [*dict.fromkeys([*before.pop(_CODE, ["not told"]), code_version()])]
    begun = before.pop(_MADE, made)
    if edited := sorted(key for key in before if before[key] != read.get(key)):
        raise WorkspaceMismatchError(
            f"{folder} was begun with other contents of these files: {', '.join(edited)}.",
            "Put them back, or remove that folder: then the run is made anew.",
        )
    if differing := made_otherwise(begun, made):
        raise WorkspaceMismatchError(
            f"{folder} was begun under other settings than the protocol has now "
            f"({difference(*differing, 'the run', 'the protocol')}).",
            "Set these keys back, or remove that folder: then the run is made anew.",
        )
    write_json(file, before | {_CODE: versions, _MADE: begun})
    return " and ".join(versions)


def _end_with_parent(parent: int) -> None:
    """A benchmark that was killed must not leave runs that hold their workspaces. `parent` is its process: it
    may be gone before this one has imported what it needs, and then has another parent already."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(128 + signal.SIGTERM)  # a run that is killed goes on where it was

    threading.Thread(target=watch, daemon=True).start()


def _waits(result: EvolutionResult) -> RunWaitsError:
    """What a run waits for that is not at its end, and what helps."""
    if result.out_of_money:
        return RunWaitsError(
            f"{result.stop.rstrip('.')}.",
            "Raise `budget.currency` in the protocol or its config.",
        )
    if result.question:
        return RunWaitsError(
            f"the supervisor asks a person: {result.question}", f"Answer by `serm answer {result.workspace}`."
        )
    return RunWaitsError(
        f"{result.waiting} pairs wait for a person.", f"Grade them by `serm review {result.workspace}`."
    )


def main(given: Sequence[str]) -> int:
    """One run, as `_start` has it started; returns its exit code."""
    file, arm, seed, out, *fold = given[:5]
    try:
        run_once(Path(file), arm, int(seed), Path(out), *fold)
    except SermError as error:
        print(f"serm: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    _end_with_parent(int(sys.argv[6]) if len(sys.argv) > 6 else os.getppid())
    sys.exit(main(sys.argv[1:]))
