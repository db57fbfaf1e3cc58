"""Which of many lists of documents share most with those that are in a batch already.

What lists share is added up in arrays, not list by list in the interpreter.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

POPULAR: Final = 32
"""A document of more than one in so many lists is added up for all lists at once, chosen: numbers side by
side are added many times as fast as numbers that are picked out. It takes a byte a list."""


class Sharing:
    """n lists, the batch that is being put together, and how much of it each other list shares."""

    def __init__(self, lists: Sequence[Ints], documents: Sequence[Hashable], per_batch: int) -> None:
        owner = np.repeat(np.arange(len(lists)), [len(rows) for rows in lists])
        numbers: dict[Hashable, int] = {}
        found = (numbers.setdefault(documents[row], len(numbers)) for rows in lists for row in rows.tolist())
        document = np.fromiter(found, dtype=np.int64, count=len(owner))
        # Each document of each list once and how often it stands there, a document's lists side by side.
        joint, times = np.unique(document * max(len(lists), 1) + owner, return_counts=True)
        held, self._lists = np.divmod(joint, max(len(lists), 1))
        self._starts = [0, *np.cumsum(np.bincount(held)).tolist()]
        self._held = held[np.argsort(self._lists, kind="stable")]
        self._ends = [0, *np.cumsum(np.bincount(self._lists, minlength=len(lists))).tolist()]
        most = per_batch * max(map(len, lists), default=0)  # that a list can share with a batch
        self._out = -most - 1  # of a list that is in a batch: whatever is added, it stays below 0
        self._idle = np.zeros(len(lists), dtype=np.min_scalar_type(self._out))  # when a batch begins
        self._times = times.astype(self._idle.dtype)
        self._shared = self._idle.copy()
        self._near: dict[int, Ints] = {}  # the lists of each document of the batch
        self._whole: dict[int, NDArray[Any]] = {}  # how often each list has a popular document

    def used(self, number: int) -> bool:
        """Whether a list is in a batch already."""
        return bool(self._idle[number] == self._out)

    def nearest(self) -> int | None:
        """The list that shares most with the batch, of several the first by number; None: none shares any."""
        if not self._near:
            return None
        if self._of_few():
            near = np.concatenate([*self._near.values()])
            shared = self._shared[near]
            found = int(near[shared == shared.max()].min())
        else:
            found = int(self._shared.argmax())
        return found if self._shared[found] > 0 else None

    def take(self, number: int) -> None:
        """Into the batch: what other lists share with this one counts from now on."""
        self._idle[number] = self._shared[number] = self._out
        for document in self._held[self._ends[number] : self._ends[number + 1]].tolist():
            held = slice(self._starts[document], self._starts[document + 1])
            near, times = self._lists[held], self._times[held]
            if len(near) == 1:  # this list's alone
                continue
            self._near[document] = near
            if len(near) * POPULAR < len(self._shared):
                self._shared[near] += times
            else:
                self._shared += self._of_all(document, near, times)

    def end_batch(self) -> None:
        """The next list that is taken begins another batch."""
        if self._of_few():
            for near in self._near.values():
                self._shared[near] = self._idle[near]
        else:
            self._shared[:] = self._idle
        self._near = {}

    def _of_few(self) -> bool:
        """Whether few lists share anything with the batch."""
        return sum(map(len, self._near.values())) * POPULAR < len(self._shared)

    def _of_all(self, document: int, near: Ints, times: NDArray[Any]) -> NDArray[Any]:
        if document not in self._whole:
            self._whole[document] = np.zeros_like(self._shared)
            self._whole[document][near] = times
        return self._whole[document]
