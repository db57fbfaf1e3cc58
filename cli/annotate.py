"""`serm annotate`: relevance labels for a file of pairs, by the panel of a config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.given import Column, Corpus, Pairs, Queries, given_source, rejects_beside

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from serm.core.settings import Settings
    from serm.core.settings_data import Source
    from serm.graphs import Annotation


def add_to(app: typer.Typer) -> None:
    app.command("annotate")(annotate)


def annotate(
    pairs: Pairs,
    *,
    config: Annotated[Path, typer.Option("--config", help="A config; `judges:` is all that it needs.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="LABELS", help="Ends on .parquet, .jsonl, .csv or .qrels.")
    ],
    gold: Annotated[
        Path | None,
        typer.Option("--gold", metavar="PAIRS", help="Human-graded pairs, for the rule `reliability`."),
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="unanimous, majority or reliability, not the config's.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again what failed in LABELS, and nothing else.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Also write what each judge said.")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", help="What the pairs are called, for judges with `sources`.")
    ] = "",
    queries: Queries = None,
    corpus: Corpus = None,
    column: Column = None,
) -> None:
    """Have the panel label pairs. Run again it asks only for what is missing."""
    from rich.console import Console

    from serm.cli.load import load_settings
    from serm.cli.outputs import files_of, require_apart
    from serm.core.errors import BudgetExceededError
    from serm.storage.labels_io import check_labels_path
    from serm.storage.recording import check_recording

    check_labels_path(out)
    if record is not None:
        check_recording(record)
    settings = _ruled(load_settings(config), rule)
    read = {"PAIRS": pairs, "--gold": gold, "--queries": queries, "--corpus": corpus}
    require_apart({"--out": out, "--record": record}, read | files_of(settings, config))
    given = given_source(pairs, queries, corpus, column, source)
    _require_a_judge(settings, given.label)
    graded = None if gold is None else given_source(gold, queries, corpus, column, given.label)
    console = Console(emoji=False, soft_wrap=True)
    work = _Work(console, settings, out, given, graded)
    found, labels = work.retry() if retry_failed else work.label()
    if found is None:
        return
    work.keep(found, labels, record)
    if found.over_budget:
        raise typer.Exit(BudgetExceededError.exit_code)


def _require_a_judge(settings: Settings, source: str) -> None:
    """Judges may be for some sources alone. Raises ConfigError where none is for these pairs."""
    from serm.core.errors import ConfigError

    known = [name for judge in settings.judges for name in judge.sources]
    if settings.judges and all(judge.sources and source not in judge.sources for judge in settings.judges):
        raise ConfigError(
            f"no judge of the config is for pairs that are called `{source}`.",
            f"Say what they are by `--source`: {', '.join(dict.fromkeys(known))}.",
        )


class _Work:
    """One command's reading, asking and writing."""

    def __init__(
        self, console: Console, settings: Settings, out: Path, given: Source, graded: Source | None
    ) -> None:
        self.console, self.settings, self.out, self.given, self.graded = console, settings, out, given, graded

    def label(self) -> tuple[Annotation, pd.DataFrame]:
        """All pairs."""
        found = self._asked(self._read(self.given), retry=False)
        return found, found.labels

    def retry(self) -> tuple[Annotation | None, pd.DataFrame]:
        """The pairs of which a judgment failed, put back into the labels that are there."""
        from serm.cli.format import count
        from serm.core.columns import KEY
        from serm.core.errors import ConfigError
        from serm.storage.labels_io import read_labels_any

        before = read_labels_any(self.out, once=True)  # told before anything is paid for
        if not before["outcome"].any():
            raise ConfigError(
                f"{self.out} does not say what failed: qrels hold grades alone.",
                "Write .parquet, .jsonl or .csv.",
            )
        failed = before[_failed(before)].set_index([*KEY]).index
        pairs = self._read(self.given)
        chosen = pairs[pairs.set_index([*KEY]).index.isin(failed)].reset_index(drop=True)
        if lost := len(failed) - len(chosen):
            self._say(
                f"{count(lost, 'failed pair')} of {self.out} not in {self.given.pairs}: left as they are."
            )
        if chosen.empty:
            self._say(f"No pair of {self.out} failed; it stays as it is.")
            return None, before
        found = self._asked(chosen, retry=True)
        return found, _put_back(before, found.labels)

    def keep(self, found: Annotation, labels: pd.DataFrame, record: Path | None) -> None:
        """Write what came of it, and tell."""
        from serm.cli.annotate_table import tell
        from serm.storage.labels_io import write_labels_as
        from serm.storage.recording import write_recording

        written = write_labels_as(labels, self.out)
        if record is not None:
            write_recording(found.judgments, record)
        tell(self.console, found, written, self.out, record)

    def _asked(self, pairs: pd.DataFrame, *, retry: bool) -> Annotation:
        """Annotate with progress, until the end or until a signal asks to stop."""
        from serm.cli.progress import RunProgress
        from serm.cli.stopping import controlled

        with RunProgress(self.console, rounds=False) as progress:
            from serm.graphs import annotate as run
            from serm.llm.brake import StopRequestedError

            gold = None if self.graded is None else self._read(self.graded, "gold-")

            said = "Stopping once the calls in flight have ended; once more stops now."
            with controlled(progress, said) as (control, stop):
                try:
                    return run(
                        pairs,
                        self.settings,
                        gold=gold,
                        on_event=progress,
                        retry_failed=retry,
                        control=control,
                    )
                except (StopRequestedError, KeyboardInterrupt):
                    progress.say(
                        "Stopped; what was judged is kept. The same command goes on from here.", "yellow"
                    )
                    raise typer.Exit(stop.exit_code or 130) from None

    def _read(self, source: Source, role: str = "") -> pd.DataFrame:
        """The good rows of a source; the others are counted, and named in a file beside the labels. `role`
        keeps the file of the gold apart from that of pairs by the same name in another folder."""
        from serm.storage.pairs import read_pairs

        with rejects_beside(self.out, source, self._say, role) as rejects:
            return read_pairs(source, self.settings, rejects)

    def _say(self, text: str) -> None:
        self.console.print(text, style="yellow", markup=False, highlight=False)


def _failed(labels: pd.DataFrame) -> list[bool]:
    """Of which pairs a judgment failed, be the pair labelled by the other judges or not."""
    return [
        outcome == "failed" or any(grade is None for _, grade in votes)
        for outcome, votes in zip(labels["outcome"], labels["votes"], strict=True)
    ]


def _put_back(before: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """The labels with the newer ones in their places."""
    import pandas as pd

    from serm.core.columns import KEY

    order = before[[*KEY]]
    both = pd.concat([newer[before.columns], before]).drop_duplicates([*KEY], keep="first")
    return order.merge(both, on=[*KEY], how="left", validate="one_to_one")[[*before.columns]]


def _ruled(settings: Settings, rule: str | None) -> Settings:
    from pydantic import ValidationError

    from serm.core.errors import ConfigError
    from serm.core.settings_loop import AgreementSettings

    if rule is None:
        return settings
    try:
        agreement = AgreementSettings.model_validate({**settings.agreement.model_dump(), "rule": rule})
    except ValidationError:
        raise ConfigError(
            f"there is no agreement rule `{rule}`.", "It is unanimous, majority or reliability."
        ) from None
    return settings.model_copy(update={"agreement": agreement})
