"""The `reliability` rule: judges' votes weighed by what they were worth on human-graded pairs.

A multinomial logistic regression on the judges' answers: every answer of every judge adds to the log-odds of
the four grades, a missing one adds nothing. Judges that err together are weighed together, which Dawid and
Skene (1979), who take them as independent, do not do. docs/agreement.md says what was tried. Five choices:

- Steps, not names: what a judge adds is a sum of three steps (at least 1, at least 2, 3), so that what is
  learned of one answer helps the answers beside it.
- A judge's steps are scaled by the cube of its correlation with the human grades, less one standard error,
  against the best judge's. Ridge then shrinks the weak first, and one that answers at random to nothing.
- Four pairs a grade, of our own, say that where all judges give it they are right. A few dozen outweigh them.
- It is learned with the grades nearly balanced, for most of a pool is irrelevant, and put back to the grades'
  shares afterwards: the posterior is a probability, and fit to be a soft target.
- The grade is not the likeliest one but that whose posterior is largest against the grade's share (plus
  0.035): a rule that names the likeliest finds the easy zeros and little else.

Pure; no clock, no global random state: the same graded pairs in any order give the same rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
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

LEAST: Final = 30  # graded pairs under which nothing can be learned
_MOST_OPEN: Final = 6  # judges whose answers are gone through: 15,625 ways

# Tuned on trec-dl 2019 and 2020, each learned from 300 pairs of the other; all are broad optima.
_RIDGE: Final = 0.1  # the inverse of the penalty, as sklearn counts it
_POWER: Final = 3  # of a judge's worth, in the scale of its columns
_BELIEF: Final = 4.0  # pairs a grade that say what all judges say
_FLOOR: Final = 0.035  # added to a grade's share: one pair of a grade is no reason to look for it everywhere

_ROUNDING: Final = 1e-9  # two ways to one sum differ by less
_NEVER: Final = -50.0  # log-odds of a grade that no calibration pair has: it is never given
_STEPS: Final = np.greater_equal.outer(GRADES, GRADES[1:]).astype(np.float64)  # (4 answers, 3 steps)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was learned of a panel; a plain value that goes through JSON unchanged."""

    judges: tuple[str, ...]  # that it knows, in the order of `weights`
    worth: tuple[float, ...]  # of each judge, against the best, which has 1; what tells nothing has 0
    base: GradeDistribution  # log-odds of the grades before any vote
    weights: tuple[Table, ...]  # what answer v of judge j adds to the log-odds of grade g: [j][v][g]
    lean: GradeDistribution  # added to the log posterior where a grade is chosen: towards rare grades
    thresholds: GradeDistribution  # by the chosen grade: the least posterior with which it is kept
    graded: int  # human-graded pairs that it was learned from

    def posterior(self, votes: Votes) -> GradeDistribution:
        """p(grade | votes). Judges that are not known here, failed or were not asked say nothing."""
        return self._of(self._said(votes))[1]

    def decide(self, votes: Votes) -> tuple[int | None, GradeDistribution]:
        """The chosen grade where its posterior is high enough, else None (dropped); and the posterior."""
        return self._of(self._said(votes))

    def certain(self, votes: Votes, remaining: Sequence[str]) -> bool:
        """Whether `decide` gives this grade, or drops, whatever the `remaining` judges answer or fail to.

        Goes through all their answers, by way of `decide` itself, until one changes it; of more than 6 known
        judges it does not, and says False.
        """
        heard = {judge for judge, worth in zip(self.judges, self.worth, strict=True) if worth > 0}
        places = tuple(sorted({self.judges.index(judge) for judge in remaining if judge in heard}))
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
                worth=tuple(map(float, found["worth"])),
                base=_four(found["base"]),
                weights=tuple(_table(item) for item in found["weights"]),
                lean=_four(found["lean"]),
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
        grade = max(GRADES, key=lambda item: odds[item] + self.lean[item])
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


def learn(votes: Sequence[Votes], grades: Sequence[int], *, keep: float, seed: int = 0) -> Reliability:  # noqa: ARG001
    """Learn from n pairs what each judge's answers are worth: `votes` and human `grades`, one each a pair.

    About the share `keep` of the pairs of each chosen grade is kept, the surest first; 1 drops none. Few
    judges answer in few ways, and pairs that were answered alike are kept together: the share is `keep` or
    more. Nothing is drawn at random, whatever the `seed`. Raises ConfigError for a `keep` that is no share,
    DataError for fewer than 30 pairs that a judge answered or for grades that are all one.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"agreement.keep is {keep}, and is a share.", "Set it above 0 and to at most 1.")
    names, given, human = _arrays(votes, grades)
    model = _fit(given, human)
    lean = -np.log(_shares(human) + _FLOOR)
    return Reliability(
        judges=names,
        worth=tuple(model.worth.tolist()),
        base=_four(model.base),
        weights=tuple(map(_table, model.weights)),
        lean=_four(lean),
        thresholds=_thresholds(model.log_odds(given), lean, keep),
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
    if not {vote for pair, _ in answered for vote in pair.values()} <= set(GRADES):
        raise DataError("a judge's vote is no grade.", "Votes are 0, 1, 2, 3 or none.")
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


@dataclass(frozen=True, slots=True)
class _Model:
    worth: Floats  # (judges,)
    base: Floats  # (4 grades,)
    weights: Floats  # (judges, 4 answers, 4 grades)

    def log_odds(self, given: Ints) -> Floats:
        """(n, judges) answers, -1 for none -> (n, 4)."""
        places = np.arange(given.shape[1])
        added = np.where((given >= 0)[:, :, None], self.weights[places, given], 0.0)
        return np.asarray(self.base + added.sum(axis=1))


def _fit(given: Ints, human: Ints) -> _Model:
    from sklearn.linear_model import LogisticRegression

    worth = _worth(given, human)
    steps = _STEPS - _mean_steps(given)[:, None, :]  # (judges, 4 answers, 3 steps)
    steps *= (worth**_POWER)[:, None, None]
    places, judges = np.arange(given.shape[1]), given.shape[1]
    there = np.unique(human)
    answers = np.vstack([given, np.repeat(there[:, None], judges, axis=1)])
    design = np.where((answers >= 0)[:, :, None], steps[places, answers], 0.0).reshape(len(answers), -1)
    shares = _shares(human)
    weight = np.concatenate([1 / (N_GRADES * (shares[human] + _FLOOR)), np.full(len(there), _BELIEF)])
    wanted = np.concatenate([human, there])
    model = LogisticRegression(C=_RIDGE, max_iter=1_000).fit(design, wanted, sample_weight=weight)
    base, slopes = np.full(N_GRADES, _NEVER), np.zeros((design.shape[1], N_GRADES))
    if len(there) == 2:  # sklearn keeps the log-odds of the second grade alone
        base[there], slopes[:, there[1]] = (0.0, model.intercept_[0]), model.coef_[0]
    else:
        base[there], slopes[:, there] = model.intercept_, model.coef_.T
    learned_with = np.bincount(wanted, weight, minlength=N_GRADES)[there]
    base[there] += np.log(shares[there]) - np.log(learned_with / learned_with.sum())
    return _Model(worth, base, steps @ slopes.reshape(judges, len(GRADES) - 1, N_GRADES))


def _worth(given: Ints, human: Ints) -> Floats:
    """(judges,): |correlation| with the human grades, one standard error (Fisher's z) off; the best has 1."""
    found = np.zeros(given.shape[1])
    for judge, answers in enumerate(given.T):
        rows = answers >= 0
        if rows.sum() > 4 and np.ptp(answers[rows]) and np.ptp(human[rows]):
            alike = min(abs(np.corrcoef(answers[rows], human[rows])[0, 1]), 1 - 1e-9)
            found[judge] = max(0.0, math.tanh(math.atanh(alike) - 1 / math.sqrt(rows.sum() - 3)))
    return np.asarray(found / found.max() if found.any() else found)


def _mean_steps(given: Ints) -> Floats:
    """(judges, 3): the mean step over the answers that were given; without one a judge is at its mean."""
    rows = given >= 0
    total = np.where(rows[:, :, None], _STEPS[given], 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(rows.sum(axis=0), 1)[:, None])


def _shares(human: Ints) -> Floats:
    counts = np.bincount(human, minlength=N_GRADES)
    return np.asarray(counts / counts.sum())


def _thresholds(odds: Floats, lean: Floats, keep: float) -> GradeDistribution:
    """By chosen grade, the posterior that the share `keep` of the calibration pairs reaches.

    Of the rule itself, not of rules learned without the pair: those are less sure of all pairs, and with
    their thresholds more than the share is kept. A grade that is chosen of no pair has the lowest threshold.
    """
    if keep == 1:
        return (0.0, 0.0, 0.0, 0.0)
    powers = np.exp(odds - odds.max(axis=1, keepdims=True))
    chosen = (odds + lean).argmax(axis=1)
    sure = powers[np.arange(len(chosen)), chosen] / powers.sum(axis=1)
    found = {
        int(grade): float(np.quantile(sure[chosen == grade], 1 - keep, method="lower")) - _ROUNDING
        for grade in np.unique(chosen)
    }
    return _four([found.get(grade, min(found.values())) for grade in GRADES])


def _softmax(odds: Sequence[float]) -> GradeDistribution:
    top = max(odds)
    powers = [math.exp(item - top) for item in odds]
    return _four([power / sum(powers) for power in powers])


def _four(values: Iterable[float]) -> GradeDistribution:
    p0, p1, p2, p3 = (float(value) for value in values)
    return (p0, p1, p2, p3)


def _table(rows: Iterable[Iterable[float]]) -> Table:
    v0, v1, v2, v3 = (_four(row) for row in rows)
    return (v0, v1, v2, v3)
