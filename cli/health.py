"""What to tell of models that did not do what they were asked: judges, and agents that rules went on for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from serm.cli.format import short

_REASON = 200  # characters of a reason: a trace has all of it


def warnings(outside: Mapping[str, float | None]) -> Iterator[str]:
    """A line for each judge whose mean probability mass on no grade is over the bound."""
    from serm.agents.proof import OUTSIDE_BOUND

    for name, mass in outside.items():
        if mass is not None and mass > OUTSIDE_BOUND:
            yield (
                f"{name} put {mass:.1%} of its probability on no grade, over {OUTSIDE_BOUND:.0%}: it would "
                "rather write something else. Try another prompt."
            )


def fell_back(agents: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A line for each reason for which agents' models did not decide."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for name, told in agents.items():
        by_reason.setdefault((told["model"], told["reason"]), []).append(name)
    for (model, reason), names in by_reason.items():
        yield (
            f"{model} did not decide for {', '.join(names)}: {short(reason, _REASON)}. "
            "Rules did in its place. `serm doctor` tries `agents.llm`."
        )
