"""What a chat judge has shown of itself before it is relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OUTSIDE_BOUND: Final = 0.1
"""Probability mass on no grade over which it is warned: the model would rather say else (chosen)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Of two trial calls: one that tempts the model to leave the schema, one like any other."""

    constrained: bool  # the server held the model to the JSON schema
    values: tuple[int, ...]  # what it may answer
    logprobs: bool | None  # whether the grade's log-probabilities came along; None: they were not asked for
    single: tuple[int, ...] = ()  # the values whose own token was among those listed
    outside: float | None = None  # probability mass on none of them

    @property
    def unseen(self) -> tuple[int, ...]:
        """Values that may count as impossible though they are only unlikely: their token was not listed."""
        return tuple(value for value in self.values if value not in self.single) if self.logprobs else ()

    @property
    def healthy(self) -> bool:
        return self.constrained and not self.unseen and (self.outside or 0.0) <= OUTSIDE_BOUND

    def __str__(self) -> str:
        parts = [
            "held to the JSON schema"
            if self.constrained
            else "its server does not hold it to the JSON schema, but it obeys the prompt"
        ]
        if self.logprobs is False:
            parts.append("no log-probabilities, so that its votes are all there is")
        if self.logprobs:
            labels = ", ".join(map(str, self.values))
            parts.append(
                f"log-probabilities; of the grades {labels} the trial did not list "
                f"{', '.join(map(str, self.unseen))}"
                if self.unseen
                else f"log-probabilities, a token for each of {labels}"
            )
        if self.outside is not None:
            parts.append(f"{self.outside:.1%} of the probability on no grade")
        return "; ".join(parts)
