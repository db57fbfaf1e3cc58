"""What a run was made from, in its done.json, and whether the protocol still says the same.

A table compares runs, so all of them are to be made as the protocol stands now, from files as they are now.
They are told apart by both, never by their names: one arm of two protocols may be one folder.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from serm.benchmarks.contents import contents
from serm.benchmarks.made_by_code import code_version, processor, torch_version
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.runs import DONE, Run
from serm.core.discretion import without_logins
from serm.core.errors import StorageError, WorkspaceMismatchError
from serm.core.settings import NOT_IDENTITY, Settings
from serm.storage.binding import as_today, difference, flat

_LEFT_OUT: Final = {*NOT_IDENTITY} - {"evolution", "llm"}
"""Sections that change nothing that a table shows. How many rounds there are it does show."""
_OF_ANSWERS: Final = ("temperature", "path_temperature", "max_tokens")
"""Of `llm` what an answer depends on: a workspace may go on with others, runs of a table may not differ."""
_VERSIONS: Final = {
    "serm": "versions of serm",
    "torch": "versions of torch",
    "processor": "processors",
    "threads": "numbers of threads",
}
"""What done.json says that figures may differ by, though settings are the same."""
_PATH: Final = re.compile(r'("(?:\w+:)?)([^#"]*)((?:#.*)?")')
"""What may be a path, alone or in a backend, as JSON has it: `"replay:FILE#judge"`."""
_STEPS_UP: Final = re.compile(r'(?<=[":])(\.{1,2}/)+')


def made_from(settings: Settings, market: Any = None) -> dict[str, Any]:
    """What done.json says of how a run was made; `market`: the settings of its marketplace."""
    return {
        "settings": without_logins(settings.model_dump(mode="json")),
        "folder": str(settings.folder),
        **({} if market is None else {"market": market.to_json()}),
    }


def made_on() -> dict[str, Any]:
    """What done.json says of where and when a run ended."""
    return {
        "ended": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "cores": cores(),
        "threads": _threads(),
        "python": platform.python_version(),
        "serm": code_version(),
        "torch": torch_version(),
        "processor": processor(),
    }


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> int:
    """What OpenMP was told, of several the outermost number; without that it takes all cores."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(told) if told.isdecimal() else cores()


def where_and_when(runs: Sequence[Run]) -> str:
    """Of all runs that are done, several where they differ: "2026-11-28 to 2026-11-29, x86_64 with 2 cores,
    Python 3.12.3". What a run of an earlier version does not tell is that of now."""
    told = [made_on() | read_record(run) for run in runs if run.done] or [made_on()]
    days = sorted({str(item["ended"]) for item in told})
    machines = sorted({f"{item['machine']} with {item['cores']} cores" for item in told})
    versions = sorted({str(item["python"]) for item in told})
    period = " to ".join(dict.fromkeys((days[0], days[-1])))
    return f"{period}, {' and '.join(machines)}, Python {' and '.join(versions)}"


def versions_differ(runs: Sequence[Run]) -> str:
    """A sentence where the runs that are done were made by several versions of the code, of torch, or on
    several processors; "" else. Runs of an earlier version do not tell."""
    told = [read_record(run) for run in runs if run.done]
    several = []
    for key, called in _VERSIONS.items():
        values = sorted({str(record.get(key) or "not told") for record in told})
        if len(values) > 1:
            several.append(f"{called} ({', '.join(values)})")
    return f"Made by several {', '.join(several)}: differences may be theirs." if several else ""


def read_record(run: Run) -> dict[str, Any]:
    """done.json of a run that is done. Raises StorageError where it is damaged."""
    return _record(run.folder / DONE)


def _record(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise StorageError(
            f"{file} is damaged: {error}.", "Remove it, and the same command goes on with the run."
        ) from error


def read_settings(file: Path) -> Settings:
    """The settings that a done.json tells, to open its run's workspace with. Raises ConfigError where another
    version wrote other settings, StorageError where it wrote none."""
    record = _record(file)
    if not {"settings", "folder"} <= record.keys():
        raise StorageError(
            f"{file} does not say by which settings its run was made.",
            "A version before this one wrote it: give the config of the run instead.",
        )
    return Settings.from_mapping(
        record["settings"], folder=Path(record["folder"]), environment={}, origin=str(file)
    )


def require_same(protocol: Protocol, runs: Sequence[Run], out: Path) -> None:
    """Raises WorkspaceMismatchError where a run that is done was made under other settings than it would be
    now, or from files that have other contents now. What a run of an earlier version does not say of how it
    was made is taken as it is."""
    told = [
        (run, read_record(run), protocol.settings(run.arm, run.seed, out, run.fold))
        for run in runs
        if run.done
    ]
    made = [
        (run, found)
        for run, record, settings in told
        if (found := made_otherwise(record, made_from(settings, _market(protocol, run))))
    ]
    if made:
        run, differing = made[0]
        _refuse(
            f"{run.folder} was made under other settings than the protocol has now "
            f"({difference(*differing, 'the run', 'the protocol')}).",
            "Set these keys back",
            made,
        )
    edited = [(run, keys) for run, record, settings in told if (keys := _edited(protocol, record, settings))]
    if edited:
        run, keys = edited[0]
        _refuse(
            f"{run.folder} was made from files that have other contents now ({', '.join(keys)}).",
            "Put these files back",
            edited,
        )


def _refuse(sentence: str, remedy: str, others: Sequence[object]) -> NoReturn:
    more = f" So were {len(others) - 1} further runs." if len(others) > 1 else ""
    raise WorkspaceMismatchError(
        f"{sentence}{more}",
        f"{remedy}, name another `--out`, or remove that folder: then the run is made anew.",
    )


def _edited(protocol: Protocol, record: Mapping[str, Any], settings: Settings) -> list[str]:
    """The keys, with their values, whose files have other contents than the run read."""
    read = record.get("read")
    if not read:
        return []
    now = contents(settings, generated=protocol.marketplace is not None)
    said = deciding(settings)
    return [f"{key}: {said[key]}" for key in sorted(read.keys() & now.keys()) if read[key] != now[key]]


def _market(protocol: Protocol, run: Run) -> Any:
    return protocol.market(run.seed) if protocol.marketplace else None


def made_otherwise(
    record: Mapping[str, Any], made: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]] | None:
    """What differs in two records of `made_from`, an earlier one and one of now, by dotted key; None where
    nothing does, or where an earlier version did not tell."""
    if "settings" not in record:
        return None
    today, _ = as_today(record["settings"])  # keys that are gone decide nothing now
    there = flat(_deciding(record["settings"])) if today is None else deciding(today)
    here = flat(_deciding(made["settings"]))
    was, now = record.get("folder"), made["folder"]
    if "market" in record:
        there |= flat(record["market"], "marketplace")
        here |= flat(made["market"], "marketplace") if "market" in made else {}
    keys = {key for key in there.keys() | here.keys() if not _same(there.get(key), was, here.get(key), now)}
    if not keys:
        return None
    return {k: v for k, v in there.items() if k in keys}, {k: v for k, v in here.items() if k in keys}


def deciding(settings: Settings) -> dict[str, str]:
    """The settings that decide what a table shows, by dotted key, as JSON texts."""
    return flat(_deciding(made_from(settings)["settings"]))


def _deciding(values: Mapping[str, Any]) -> Any:
    """Settings without what decides no result (see `Settings.identity`), as JSON has them."""
    kept = {name: value for name, value in values.items() if name not in _LEFT_OUT}
    kept["llm"] = {name: value for name, value in kept.get("llm", {}).items() if name in _OF_ANSWERS}
    kept["budget"] = {name: value for name, value in kept.get("budget", {}).items() if name != "currency"}
    return json.loads(json.dumps(kept))


def _same(one: str | None, its_folder: str | None, other: str | None, folder: str) -> bool:
    """Whether two JSON texts say the same: equal, or one file by its paths from two folders."""
    if one == other or one is None or other is None:
        return one == other
    if its_folder is None:  # of an earlier version, which does not tell: then the end of the path does
        return _STEPS_UP.sub("", one) == _STEPS_UP.sub("", other)
    return _absolute(one, its_folder) == _absolute(other, folder)


def _absolute(text: str, folder: str) -> str:
    """A JSON text with the path in it made absolute, as far as it may be one."""
    found = _PATH.fullmatch(text)
    return f"{found[1]}{(Path(folder) / found[2]).resolve()}{found[3]}" if found else text
