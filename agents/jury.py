"""The judges of some sources, how they agree, in which order they are asked and when no more are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import Final

from serm.core.records import GRADES, Outcome
from serm.core.settings_loop import AgreementSettings
from serm.tools.peer_vote import decide, settled
from serm.tools.reliability import Reliability, Votes

_LOOKED_AHEAD: Final = 5
"""Judges whose possible answers are gone through to see when a first pair could be settled (1,024 ways)."""


class Jury:
    """`judges` are those of a source, in the order of the config; `remote` those of them that cost something.

    Judges that cost nothing are asked first and together. Of the others as many join them as it takes until
    any pair at all can be settled; from there on they are asked one after the other, each of the pairs whose
    outcome it can still change. Where a disagreement goes on, to a debate or a person, all votes of it are
    wanted: then a pair is settled only by being kept. `rules` are all rules under which it has to be settled:
    the config's, and where a chat model chairs the panel the stricter ones, as it may hand in theirs.
    """

    def __init__(
        self,
        judges: Sequence[str],
        agreement: AgreementSettings,
        reliability: Reliability | None = None,
        *,
        remote: Collection[str] = (),
        rules: Sequence[str] = (),
    ) -> None:
        self.judges, self.agreement, self.reliability = tuple(judges), agreement, reliability
        self._rules = tuple(rules) or (agreement.rule,)
        self._known: dict[tuple[tuple[str, int | None], ...], bool] = {}
        self.waves: tuple[tuple[str, ...], ...] = tuple(self._in_waves(remote))

    def settled(self, votes: Votes) -> bool:
        """Whether the pair's outcome and grade stand, whatever those say that are not in `votes`."""
        key = tuple(votes)
        if key not in self._known:  # few patterns of votes, many pairs
            self._known[key] = self._is_settled(key)
        return self._known[key]

    def _is_settled(self, votes: Votes) -> bool:
        asked = {judge for judge, _ in votes}
        remaining = [judge for judge in self.judges if judge not in asked]
        if not remaining:
            return True
        if not self.agreement.early_stop:
            return False
        least, goes_on = self.agreement.min_judges, self.agreement.debate or self.agreement.human_review
        for rule in self._rules:
            if not settled(votes, remaining, rule, least, self.reliability):
                return False
            if goes_on and decide(votes, rule, least, self.reliability).outcome is Outcome.DROPPED:
                return False
        return True

    def _in_waves(self, remote: Collection[str]) -> Iterator[tuple[str, ...]]:
        paid = [judge for judge in self.judges if judge in remote]
        free = [judge for judge in self.judges if judge not in remote]
        together = next(
            (count for count in range(len(paid)) if self._can_settle([*free, *paid[:count]])), len(paid)
        )
        first = {*free, *paid[:together]}
        if first:
            yield tuple(judge for judge in self.judges if judge in first)
        yield from ((judge,) for judge in paid[together:])

    def _can_settle(self, asked: Sequence[str]) -> bool:
        """Whether any grades of these judges settle a pair; True unseen where they are many."""
        if not asked or not self.agreement.early_stop:
            return False
        if len(asked) > _LOOKED_AHEAD:
            return True
        said = product(GRADES, repeat=len(asked))
        return any(self.settled(tuple(zip(asked, grades, strict=True))) for grades in said)
