"""One pair's whole story in words: who nominated it and why, what each judge said, what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from serm.cli.format import clean, count, duration, money, short
from serm.cli.pair_facts import PairFacts, RoundFacts, Score, distribution, gather, votes
from serm.core.errors import DataError
from serm.core.records import Judgment, PairKey
from serm.storage.reviews import HumanAnswer
from serm.storage.workspace import Workspace

TEXT: Final = 300  # characters of a document that are shown
WORDS: Final = 1_000  # characters of a judge's rationale
_ORIGINS: Final = {
    "new": "as a new label",
    "earlier": "as a label of an earlier round",
    "seed": "as a pair of the seed",
}


def tell(workspace: Workspace, query_id: str, doc_id: str, *, round_number: int | None = None) -> list[Text]:
    """The story, line by line. Raises DataError for a pair that the workspace has never met."""
    key = PairKey(query_id, doc_id)
    facts = gather(workspace, key, round_number)
    if facts.row is None and not facts.rounds and not facts.judgments:
        raise DataError(
            f"the pair of query {query_id} and document {doc_id} is nowhere in {workspace.folder}.",
            "Look its ids up in the input; a bad row is in the rejects file under data/.",
        )
    return list(story(facts))


def story(facts: PairFacts) -> Iterator[Text]:
    yield Text(clean(f"Query {facts.key.query_id}, document {facts.key.doc_id}"), style="bold")
    if facts.row:
        yield _line("query", facts.row.get("query", ""))
        if facts.row.get("title"):
            yield _line("title", facts.row["title"])
        yield _line("text", short(facts.row.get("text") or "", TEXT))
        about = [
            f"{name} {facts.row[name]}" for name in ("language", "source", "timestamp") if facts.row.get(name)
        ]
        if about:
            yield _line("of", ", ".join(about))
    yield _line("stands in", "; ".join(facts.places) or "no set of the data")
    told: set[str] = set()
    for one in facts.rounds:
        yield Text("")
        yield from _round(one, facts.judgments, told)
    rest = [judgment for judgment in facts.judgments if judgment.cache_key not in told]
    if rest:
        yield Text("")
        yield Text("Judged, in no finished round", style="bold cyan")
        for judgment in rest:
            yield from _judgment(judgment)
    if not facts.rounds and not rest:
        yield Text("No agent nominated it, no judge saw it, and no training set holds it.", style="dim")


def _round(one: RoundFacts, judgments: Sequence[Judgment], told: set[str]) -> Iterator[Text]:
    name = (one.report.get("window") or {}).get("name", "")
    yield Text(clean(f"Round {one.report['round']}{f', window {name}' if name else ''}"), style="bold cyan")
    if one.before:
        yield _line("score before", _score(one.before))
    yield from _mined(one)
    yield from _judged(one, judgments, told)
    if one.training:
        shares = distribution(one.training)
        target = f", target {_shares(shares)}" if shares else ""
        origin = _ORIGINS.get(str(one.training.get("origin")), str(one.training.get("origin")))
        yield _line(
            "trained", f"{origin}, grade {one.training['grade']}{target}, in {one.report['snapshot']}"
        )
    elif one.label:
        yield _line("trained", "no: it is in no training set of this round")
    if one.after:
        yield _line("score after", _score(one.after, one.before) + _fate(one))


def _mined(one: RoundFacts) -> Iterator[Text]:
    for row in one.nominations:
        yield _line("nominated", f"by {row['agent']}, score {row['score']:.3f}: {row['reason']}")
    if one.sample is None:
        if one.nominations:
            yield _line("chosen", "no: the budget went to other pairs")
        return
    if not one.nominations:
        why = one.sample.get("reason") or "it came along with its query, or filled the budget"
        yield _line("nominated", f"by no agent: {why}")
    share = one.sample.get("agent")
    yield _line("chosen", "for the judges" + (f", out of the share of {share}" if share else ""))


def _judged(one: RoundFacts, judgments: Sequence[Judgment], told: set[str]) -> Iterator[Text]:
    if one.label is None:
        if one.sample is not None:
            yield _line("judged", "not by the end of the round")
        return
    said = votes(one.label)
    for judge, grade in said:
        if one.answer is not None and judge == one.answer.judge:
            continue
        latest = [item for item in judgments if item.judge == judge and item.grade == grade]
        if latest:
            told.update(item.cache_key for item in latest)
            yield from _judgment(latest[-1])
        else:
            yield _line("judge", f"{judge}: {'failed' if grade is None else f'grade {grade}'}")
    if one.answer is not None:
        yield from _person(one.answer)
    grade, outcome = one.label.get("grade"), one.label["outcome"]
    shares = distribution(one.label)
    result = f"{outcome}: " + (f"grade {grade}" if grade is not None else "no label")
    yield _line("panel", result + (f", vote shares {_shares(shares)}" if shares else ""))


def _person(answer: HumanAnswer) -> Iterator[Text]:
    said = "skipped it" if answer.grade is None else f"grade {answer.grade}"
    took = "" if answer.seconds is None else f", after {duration(int(answer.seconds * 1e9))}"
    seen = ", having seen the judges' votes" if answer.saw_votes else ""
    yield _line("person", f"{answer.reviewer}: {said}{took}{seen}, on {answer.at[:10]}")
    if answer.note:
        yield _line("", f"“{short(answer.note, WORDS)}”")


def _judgment(judgment: Judgment) -> Iterator[Text]:
    said = f"grade {judgment.grade}" if judgment.failure is None else f"failed, {judgment.failure.kind}"
    if len(judgment.paths) > 1:
        paths = ", ".join("failed" if path is None else str(path) for path in judgment.paths)
        said += f" (paths: {paths})"
    if judgment.distribution:
        said += f", P {_shares(judgment.distribution)}"
    if judgment.requests:
        tokens = judgment.tokens_in + judgment.tokens_out
        said += f"; {count(judgment.requests, 'call')}, {count(tokens, 'token')}"
        said += f", {duration(int(judgment.latency * 1e9))}" + (
            f", cost {money(judgment.cost)}" if judgment.cost else ""
        )
    line = _line("judge", f"{judgment.judge}: {said}")
    if judgment.simulated:
        line.append("  SIMULATED", style="bold red")
    yield line
    words = judgment.rationale or (judgment.failure.message if judgment.failure else "")
    if words:
        yield _line("", f"“{short(words, WORDS)}”")


def _fate(one: RoundFacts) -> str:
    models = one.report.get("models") or {}
    if models.get("challenger") == models.get("champion_before"):
        return " (nothing was trained)"
    promoted = one.report.get("verdict") == "promoted"
    return " (promoted)" if promoted else " (rolled back: the score before stays in force)"


def _score(score: Score, before: Score | None = None) -> str:
    change = f", {score.expected - before.expected:+.2f}" if before else ""
    return f"{score.expected:.2f}{change}  P {_shares(score.probabilities)}  by {score.model}"


def _shares(values: Sequence[float]) -> str:
    return " ".join(f"{grade}:{value:.2f}" for grade, value in enumerate(values))


def _line(label: str, text: str) -> Text:
    return Text(f"  {label:<13}", style="dim").append(clean(str(text)), style="not dim")
