"""What to tell of judges whose answers hide that they would rather have said something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def warnings(outside: Mapping[str, float | None]) -> Iterator[str]:
    """A line for each judge whose mean probability mass on no grade is over the bound."""
    from serm.agents.proof import OUTSIDE_BOUND

    for name, mass in outside.items():
        if mass is not None and mass > OUTSIDE_BOUND:
            yield (
                f"{name} put {mass:.1%} of its probability on no grade, over {OUTSIDE_BOUND:.0%}: it would "
                "rather write something else. Try another prompt."
            )
