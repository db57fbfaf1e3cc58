"""`serm plan`: what a round will take, before any judge is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.options import Config, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from serm.core.settings import Settings
    from serm.graphs.forecast import Forecast
    from serm.graphs.forecast_judges import JudgeForecast

MARGINS = (0.005, 0.01, 0.02, 0.03)


def add_to(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    config: Config,
    *,
    window: Window = None,
    margin: Annotated[
        list[float] | None,
        typer.Option(
            "--margin", min=0.0001, max=1, help="A gate margin in NDCG@4 to plan for; several may be given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the forecast as JSON.")] = False,
) -> None:
    """Forecast a round's pairs, calls, tokens, cost and time, and the human grades that its gate needs."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from serm.cli.load import load_settings

    settings = load_settings(config)  # before what takes seconds to import

    from serm.graphs.forecast import forecast
    from serm.graphs.standing import looked_at, window_number

    margins = sorted({settings.gate.margin, *(margin or MARGINS)})
    with looked_at(settings) as resources:
        number = window_number(resources.dataset, window)
        found = forecast(resources, number, margins, _counter(settings))
    if as_json:
        told = asdict(found) | {"cost": found.cost, "unpriced": found.unpriced}
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return
    _tell(Console(emoji=False, soft_wrap=True, highlight=False), found, settings)


def _counter(settings: Settings) -> Callable[[Sequence[str]], list[int]]:
    """Tokens by the relevance model's own tokenizer: another model's differ by some tens of percent."""
    from serm.relevance_model.vocabulary import token_counts

    return lambda texts: token_counts(settings.base_model, texts)


def _tell(console: Console, found: Forecast, settings: Settings) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from serm.cli.format import count, duration, money

    gate = f", at most {found.gate_pairs:,} pairs of the gate" if found.gate_pairs else ""
    gold = f", at most {found.gold_pairs:,} human-graded pairs to weigh them by" if found.gold_pairs else ""
    console.print(
        f"Round {found.round}, window {found.window}: {found.pairs:,} of {found.window_pairs:,} pairs{gate}"
        f"{gold} go to {count(len(found.judges), 'judge')}.",
        markup=False,
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("judge", overflow="fold")
    for heading in ("calls", "tokens in", "out", "cost", "time"):
        table.add_column(heading, justify="right")
    table.add_column("from", overflow="fold")
    for judge in found.judges:
        table.add_row(
            Text(judge.judge),
            _calls(judge),
            f"{judge.tokens_in:,}",
            f"{judge.tokens_out:,}",
            "no price" if judge.cost is None else money(judge.cost),
            "-" if judge.seconds is None else duration(int(judge.seconds * 1e9)),
            Text(judge.basis),
        )
    console.print(table)
    for sentence in _cost(found, settings):
        console.print(sentence, markup=False)
    if found.seconds is not None:
        console.print(f"The last round took {duration(int(found.seconds * 1e9))} in all.")
    basis = "as the last gate measured" if found.spread_measured else "assumed"
    console.print(
        f"Gate: {found.gate_queries:,} queries with more than one grade are open. With a spread of "
        f"{found.spread:.3f} over queries ({basis}) and level {settings.gate.level:g}:",
        markup=False,
    )
    for item in found.gate:
        more = (
            f"{item.missing:,} more, about {item.grades:,} human grades"
            if item.missing
            else "enough are open"
        )
        mark = "  <- gate.margin" if item.margin == settings.gate.margin else ""
        console.print(f"  margin {item.margin:.3f}: {item.queries:,} queries; {more}{mark}", markup=False)


def _cost(found: Forecast, settings: Settings) -> Iterator[str]:
    from serm.cli.format import money

    budget = settings.budget.currency
    limit = "No limit is set" if budget is None else f"The whole run may cost {money(budget)}"
    if found.unpriced:
        yield (
            f"Cost unknown: no price is stated for {', '.join(found.unpriced)}. State it under `llm.prices`, "
            "as money for a million tokens."
        )
    if len(found.judges) > len(found.unpriced):
        who = "The other judges cost" if found.unpriced else "Cost"
        yield f"{who} at most {money(found.priced)}, by these tokens and with all paths asked."
    yield f"{limit}. Judges work at the same time."
    if any(judge.sources for judge in found.judges):
        yield (
            "Calls go from the share of the window that a judge's sources have to as many of the mined pairs "
            "as they have; the cost takes the dearest source's pairs to be mined first."
        )
    further = {"turns of agents": settings.agents.llm, "the debate": settings.agreement.debate}
    if left_out := [name for name, asked in further.items() if asked]:
        yield f"Not in it: {' and '.join(left_out)}."


def _calls(judge: JudgeForecast) -> str:
    if judge.calls == judge.calls_most:
        return f"{judge.calls:,}"
    return f"{judge.calls:,} to {judge.calls_most:,}"
