"""Stretches of the stream of one length: what makes a long window comparable with a short one.

Drift tests count a query once, however often it was asked, because requests for one query come in bursts. But
the longer a window, the more of its rare queries come up at all, while the frequent ones are there in any:
twice the traffic looks like more tail and less head. So sides are thinned to as many requests before queries
are counted once. A query that was asked c times is kept with the chance that one of its requests is.

A log without impressions does not say how often a query was asked; such a part counts as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.tools.query_sample import Asked, Floats

Mask = NDArray[np.bool_]

ENOUGH: Final = (0.8, 0.6, 0.4, 0.2)
"""Parts of a window's requests from which earlier ones come to a stretch to compare it with, tried in turn;
chosen: windows of a day or a week differ by some percent, and are stretches by themselves."""


def thinned(times: Floats | None, requests: float | None, *, seed: Sequence[int]) -> Mask | None:
    """Which of n queries are there if so many of their requests are. `times` (n,): how often each was asked.

    None where it cannot be told, and where there are no more requests than that: all are there.
    """
    if times is None or requests is None or times.sum() <= requests:
        return None
    missed = (1.0 - requests / times.sum()) ** times
    return np.asarray(np.random.default_rng(list(seed)).random(len(times)) >= missed)


def thinned_now(times: Floats | None, requests: float | None, *, seed: int) -> Mask | None:
    """The same of the window that `stretches` were cut for, under a draw of its own."""
    return thinned(times, requests, seed=[seed, 6])


def stretches(earlier: Sequence[Asked], now: Asked, *, seed: int) -> tuple[list[Mask], float | None]:
    """Cut what came before, oldest part first, into stretches of about as many requests as `now` has.

    Parts shorter than that are taken together, the newest first, and a rest that is too short is left out; a
    query counts once a stretch. Where all of it is shorter than `now`, it is one stretch. What is about as
    many is chosen so that most is left to compare. Returns which queries of each part count, and to how many
    requests every stretch was thinned: `now` is to be, too; None where one side does not tell its requests.
    """
    counted = [np.ones(len(part.names), dtype=bool) for part in earlier]
    told = [place for place, part in enumerate(earlier) if part.times is not None]
    if now.times is None or not told:
        return counted, None
    plain = sum(len(part.names) for part in earlier if part.times is None)
    cuts = [_cut(earlier, told, now.times, share) for share in ENOUGH]
    chosen = max(cuts, key=lambda cut: cut.left(plain))  # the first of those that leave as much
    for place in told:
        counted[place][:] = False
    for number, stretch in enumerate(chosen.stretches):
        kept = thinned(stretch.times, chosen.requests, seed=[seed, 5, number])
        for row in np.arange(len(stretch.times)) if kept is None else np.flatnonzero(kept):
            place, at = stretch.places[row]
            counted[place][at] = True
    return counted, chosen.requests


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """Queries of some parts together: where each stands (part, row), and how often it was asked."""

    places: list[tuple[int, int]]
    times: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    stretches: list[_Stretch]
    now: Floats
    requests: float  # of each stretch when it is thinned

    def left(self, plain: int) -> float:
        """What a comparison of two samples goes by, m n / (m + n), for the expected sizes; `plain` earlier
        queries count anyway."""
        before = plain + sum(self._expected(stretch.times) for stretch in self.stretches)
        now = self._expected(self.now)
        return round(before * now / (before + now), 6)

    def _expected(self, times: Floats) -> float:
        return float((1 - (1 - min(1.0, self.requests / times.sum())) ** times).sum())


def _cut(earlier: Sequence[Asked], told: Sequence[int], now: Floats, share: float) -> _Cut:
    found = [_together(earlier, group) for group in _groups(earlier, told, share * float(now.sum()))]
    requests = min(float(now.sum()), *(float(stretch.times.sum()) for stretch in found))
    return _Cut(found, now, requests)


def _groups(earlier: Sequence[Asked], told: Sequence[int], wanted: float) -> list[list[int]]:
    groups: list[list[int]] = []
    waiting: list[int] = []
    requests = 0.0
    for place in reversed(told):
        waiting.append(place)
        requests += float(_times(earlier[place]).sum())
        if requests >= wanted:
            groups.append(waiting)
            waiting, requests = [], 0.0
    return groups or [waiting]


def _together(earlier: Sequence[Asked], group: Sequence[int]) -> _Stretch:
    """The queries of a stretch, each at the newest place where it stands."""
    first: dict[str, tuple[int, int]] = {}
    total: dict[str, float] = {}
    for place in group:
        names, times = earlier[place].names, _times(earlier[place])
        for at, (name, count) in enumerate(zip(names, times.tolist(), strict=True)):
            first.setdefault(name, (place, at))
            total[name] = total.get(name, 0.0) + count
    return _Stretch(list(first.values()), np.array(list(total.values())))


def _times(part: Asked) -> Floats:
    """Of a part that tells them."""
    assert part.times is not None
    return part.times
