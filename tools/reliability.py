"""The `reliability` rule: judges' votes weighed by what they were worth on human-graded pairs.

A multinomial logistic regression on one-hot votes: every answer of every judge adds to the log-odds of the
four grades, a missing answer adds nothing. It is learned with the grades balanced, for irrelevant documents
are most of a pool and a rule that finds them alone is of no use. Judges that err together are weighed
together, which Dawid and Skene (1979), who take them as independent, do not do. Pure; no clock, no global
random state: the same graded pairs in any order give the same rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serm.core.errors import ConfigError, DataError
from serm.core.records import GRADES, N_GRADES, GradeDistribution

Votes = Sequence[tuple[str, int | None]]
"""One pair's votes: (judge, grade), None where the judge failed."""

Table = tuple[GradeDistribution, GradeDistribution, GradeDistribution, GradeDistribution]

Said = tuple[int | None, ...]  # an answer a known judge, in their order

_MOST_OPEN: Final = 7  # judges whose answers are gone through: 78,125 ways
LEAST: Final = 30  # graded pairs under which nothing can be learned
FOLDS: Final = 5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was learned of a panel; a plain value that goes through JSON unchanged."""

    judges: tuple[str, ...]  # that it knows, in the order of `weights`
    base: GradeDistribution  # log-odds of the grades before any vote
    weights: tuple[Table, ...]  # what answer v of judge j adds to the log-odds of grade g: [j][v][g]
    thresholds: GradeDistribution  # by the likeliest grade: the least posterior with which it is kept
    graded: int  # human-graded pairs that it was learned from

    def posterior(self, votes: Votes) -> GradeDistribution:
        """p(grade | votes). Judges that are not known here, failed or were not asked say nothing."""
        return self._of(self._said(votes))[1]

    def decide(self, votes: Votes) -> tuple[int | None, GradeDistribution]:
        """The likeliest grade where it is sure enough, else None (dropped); and the posterior."""
        return self._of(self._said(votes))

    def certain(self, votes: Votes, remaining: Sequence[str]) -> bool:
        """Whether `decide` gives this grade, or drops, whatever the `remaining` judges answer or fail to.

        Goes through all their answers, by way of `decide` itself, until one changes it; of more than 7 known
        judges it does not, and says False.
        """
        places = tuple(sorted({self.judges.index(judge) for judge in remaining if judge in self.judges}))
        if len(places) > _MOST_OPEN:
            return False
        return len(_results(self, self._said(votes), places)) == 1

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Reliability:
        """Raises DataError where the text is none that `to_json` wrote."""
        try:
            found = json.loads(text)
            return cls(
                judges=tuple(map(str, found["judges"])),
                base=_four(found["base"]),
                weights=tuple(_table(item) for item in found["weights"]),
                thresholds=_four(found["thresholds"]),
                graded=int(found["graded"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this is no reliability rule ({error}).", "Learn it again from human-graded pairs."
            ) from None

    def _said(self, votes: Votes) -> Said:
        given = dict(votes)
        return tuple(given.get(judge) for judge in self.judges)

    def _of(self, said: Said) -> tuple[int | None, GradeDistribution]:
        odds = list(self.base)
        for table, vote in zip(self.weights, said, strict=True):  # in this order always: sums are the same
            if vote is not None:
                odds = [one + more for one, more in zip(odds, table[vote], strict=True)]
        posterior = _softmax(odds)
        grade = max(GRADES, key=lambda item: posterior[item])
        return (grade if posterior[grade] >= self.thresholds[grade] else None), posterior


@lru_cache(maxsize=65_536)
def _results(rule: Reliability, said: Said, places: tuple[int, ...]) -> frozenset[int | None]:
    """Grades (None: dropped) that the judges at `places` can still bring about; two are enough to know."""
    if not places:
        return frozenset({rule._of(said)[0]})
    found: frozenset[int | None] = frozenset()
    for answer in (None, *GRADES):
        now = (*said[: places[0]], answer, *said[places[0] + 1 :])
        found |= _results(rule, now, places[1:])
        if len(found) > 1:
            break
    return found


def learn(votes: Sequence[Votes], grades: Sequence[int], *, keep: float, seed: int = 0) -> Reliability:
    """Learn from n pairs what each judge's answers are worth: `votes` and human `grades`, one each a pair.

    About the share `keep` of the pairs of each predicted grade is kept, the surest first, as found on
    calibration pairs that were held out; 1 drops none. Raises ConfigError for a `keep` that is no share,
    DataError for fewer than 30 pairs that a judge answered or for grades that are all one.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"agreement.keep is {keep}, and is a share.", "Set it above 0 and to at most 1.")
    names, given, human = _arrays(votes, grades)
    design = _one_hot(given)
    held_out, folds = np.zeros((len(human), N_GRADES)), _folds(human, seed)
    for fold in range(FOLDS):
        rows = folds == fold
        base, weights = _fit(design[~rows], human[~rows])
        held_out[rows] = _probabilities(design[rows] @ weights + base)
    base, weights = _fit(design, human)
    return Reliability(
        judges=names,
        base=_four(base.tolist()),
        weights=tuple(_table(item) for item in weights.reshape(len(names), N_GRADES, N_GRADES).tolist()),
        thresholds=_thresholds(held_out, keep),
        graded=len(human),
    )


def _arrays(votes: Sequence[Votes], grades: Sequence[int]) -> tuple[tuple[str, ...], Ints, Ints]:
    """Names of the judges, (n, judges) votes with -1 for none, (n,) grades; rows in an order of their own."""
    if len(votes) != len(grades):
        raise ValueError(f"{len(votes)} pairs with votes and {len(grades)} grades")
    if wrong := sorted(set(grades) - set(GRADES)):
        raise DataError(f"{wrong[0]} is no grade.", "Human grades are 0, 1, 2 or 3.")
    answered = [
        ({judge: vote for judge, vote in pair if vote is not None}, grade)
        for pair, grade in zip(votes, grades, strict=True)
    ]
    answered = [(pair, grade) for pair, grade in answered if pair]
    if len(answered) < LEAST:
        raise DataError(
            f"{len(answered)} human-graded pairs that a judge answered are too few to learn the judges' "
            f"reliability from; it takes {LEAST}.",
            "Grade more gate pairs (300 are plenty), or set agreement.rule to unanimous or majority.",
        )
    if len({grade for _, grade in answered}) < 2:
        raise DataError(
            f"all {len(answered)} human-graded pairs have the grade {answered[0][1]}.",
            "Reliability is learned from pairs of at least two grades, best of all four.",
        )
    names = tuple(sorted({judge for pair, _ in answered for judge in pair}))
    rows = sorted([*(pair.get(name, -1) for name in names), grade] for pair, grade in answered)
    table = np.asarray(rows, dtype=np.int64)
    return names, table[:, :-1], table[:, -1]


def _one_hot(given: Ints) -> Floats:
    """(n, judges) votes -> (n, judges * 4); a missing vote is a row of zeros."""
    hot = given[:, :, None] == np.arange(N_GRADES)
    return np.asarray(hot.reshape(len(given), -1), dtype=np.float64)


def _folds(human: Ints, seed: int) -> Ints:
    """(n,): the fold of each pair, every grade spread over all of them."""
    order = np.lexsort((np.random.default_rng(seed).random(len(human)), human))
    folds = np.empty(len(human), dtype=np.int64)
    folds[order] = np.arange(len(human)) % FOLDS
    return folds


def _fit(design: Floats, human: Ints) -> tuple[Floats, Floats]:
    """Log-odds before any vote (4,) and what each column adds (columns, 4)."""
    from sklearn.linear_model import LogisticRegression

    base, weights = np.full(N_GRADES, _NEVER), np.zeros((design.shape[1], N_GRADES))
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=1_000)
    model.fit(design, human)
    there = model.classes_
    if len(there) == 2:  # sklearn keeps the log-odds of the second grade alone
        base[there] = [0.0, model.intercept_[0]]
        weights[:, there[1]] = model.coef_[0]
    else:
        base[there] = model.intercept_
        weights[:, there] = model.coef_.T
    return base, weights


_NEVER: Final = -50.0  # log-odds of a grade that no calibration pair has


def _probabilities(odds: Floats) -> Floats:
    powers = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _thresholds(held_out: Floats, keep: float) -> GradeDistribution:
    """By predicted grade, the posterior over which the share `keep` lies; that of all where one is rare."""
    if keep == 1:
        return (0.0, 0.0, 0.0, 0.0)
    predicted, sure = held_out.argmax(axis=1), held_out.max(axis=1)
    overall = float(np.quantile(sure, 1 - keep))
    found = [sure[predicted == grade] for grade in GRADES]
    return _four([float(np.quantile(item, 1 - keep)) if len(item) >= 5 else overall for item in found])


def _softmax(odds: Sequence[float]) -> GradeDistribution:
    top = max(odds)
    powers = [math.exp(item - top) for item in odds]
    return _four([power / sum(powers) for power in powers])


def _four(values: Sequence[float]) -> GradeDistribution:
    p0, p1, p2, p3 = (float(value) for value in values)
    return (p0, p1, p2, p3)


def _table(rows: Sequence[Sequence[float]]) -> Table:
    v0, v1, v2, v3 = (_four(row) for row in rows)
    return (v0, v1, v2, v3)
