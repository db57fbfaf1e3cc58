"""What `serm doctor` is made of: checks that each say what they found in one sentence."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import pandas as pd

from serm.core.errors import SermError
from serm.core.settings import Settings
from serm.storage.dataset import Counts, DataSet, TestRef, WindowRef
from serm.storage.ingest import dataset_key, ingest
from serm.storage.workspace import Workspace


class Status(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of the doctor. `area` is what was looked at."""

    area: str
    status: Status
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the data set. All of them together may not fit into memory."""

    name: str
    counts: Counts | WindowRef | TestRef  # its pairs and queries
    read: Callable[[Sequence[str]], pd.DataFrame]  # its columns of these names


class Patient:
    """A config and what it leads to. Nothing of it is written to its workspace."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def dataset(self) -> DataSet:
        """The data set: the workspace's where it has it, else one made for the time of the examination.

        Not made in the workspace, because that would bind it to a config that may be changed right after.
        """
        there = self.settings.workspace_path / "data" / dataset_key(self.settings)
        if there.is_dir():
            return DataSet.load(there)
        folder = Path(tempfile.mkdtemp(prefix="serm-doctor-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        elsewhere = self.settings.model_copy(update={"workspace": folder / "workspace"})
        workspace = self._stack.enter_context(Workspace.open(elsewhere))
        return ingest(elsewhere, workspace)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Seed, gate, every window, what is judged only, every test; none is read before it is asked for."""
        data = self.dataset
        last, judged = len(data.windows), data.judged_counts
        return (
            Part("seed", data.seed_counts, data.seed),
            Part("gate", data.gate_counts, partial(data.gate, last)),
            *(
                Part(f"window {window.name}", window, partial(data.window, window.index))
                for window in data.windows
            ),
            *([Part("judged only", judged, partial(data.judged_only, last))] if judged.pairs else []),
            *(Part(f"test {test.name}", test, partial(data.test, test.name)) for test in data.tests),
        )


Check = Callable[[Patient], Iterator[Finding]]


@dataclass
class Examination:
    """Runs checks in order; those that need the data are skipped once the data could not be read."""

    patient: Patient
    no_data: bool = field(default=False)

    def run(self, area: str, check: Check, *, needs_data: bool = False) -> Iterator[Finding]:
        if needs_data and self.no_data:
            yield Finding(area, Status.WARN, "not looked at, because the data cannot be read.")
            return
        try:
            yield from check(self.patient)
        except SermError as error:
            self.no_data |= area == "data"
            yield Finding(area, Status.FAIL, error.message, error.remedy)
