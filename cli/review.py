"""`serm review`: a person answers what the run waits for, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serm.cli.options import Place

if TYPE_CHECKING:
    from rich.console import Console

    from serm.storage.reviews import Review


def add_to(app: typer.Typer) -> None:
    app.command("review")(review)


def review(
    config: Place,
    *,
    reviewer: Annotated[
        str, typer.Option("--reviewer", help="Your name, kept with each answer; your login by default.")
    ] = "",
    blind: Annotated[
        bool, typer.Option("--blind/--show-votes", help="Hide what the judges said, or show it at once.")
    ] = True,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the pairs as .csv or .jsonl.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take the answers of such a file.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Say what waits, ask nothing.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Skip all that is still open.")] = False,
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--no-resume", help="Go on with the run afterwards, or leave it; else ask."),
    ] = None,
) -> None:
    """Grade the pairs that the panel of judges dropped; once all are answered the run goes on."""
    from rich.console import Console

    from serm.cli.load import look_at
    from serm.storage.reviews import waiting

    workspace = look_at(config)
    found = waiting(workspace.reviews)
    console = Console(emoji=False, soft_wrap=True)
    if found is None:
        console.print(f"Nothing waits for a person in {workspace.folder}.", markup=False, highlight=False)
        return
    pairs, rounds = found
    name = reviewer or login()
    if export is not None:
        from serm.cli.outputs import require_no_grades
        from serm.cli.review_files import export_review, grade_word

        remedy = "Take them in by `--import`, or give another name."
        known = {(*key, grade_word(answer)) for key, answer in pairs.answers().items()}
        require_no_grades("--export", export, remedy, known=known)
        written = export_review(pairs, export, votes=not blind)
        _say(console, f"{written} pairs in {export}. Fill in the column grade, then --import it.")
        return
    if import_ is not None:
        from serm.cli.review_files import read_answers

        new = read_answers(pairs, import_, name)
        pairs.add(new)
        _say(console, f"{len(new)} answers taken from {import_}.")
    elif not (status or finish):
        from serm.cli.review_keys import keys_of_stdin
        from serm.cli.review_screen import ReviewScreen

        ReviewScreen(pairs, console, keys_of_stdin(), name, blind=blind).run()
    if finish:
        from serm.storage.reviews import HumanAnswer

        pairs.add([HumanAnswer(*key, None, name, note="not looked at") for key in pairs.open()])
    _tell(console, pairs)
    if not status:
        _go_on(console, config, pairs, rounds, resume)


def _tell(console: Console, pairs: Review) -> None:
    """Where the review stands."""
    from serm.cli.format import count, duration
    from serm.graphs.reviewing import summary

    told: dict[str, Any] = summary(pairs)
    seconds = told["seconds"]
    at_it = f", {duration(int(seconds['total'] * 1e9))} at it" if seconds["total"] >= 1 else ""
    pace = f" ({seconds['median']:g} s a pair in the median)" if at_it else ""
    names = ", ".join(f"{name} {number}" for name, number in told["reviewers"].items())
    dropped = count(told["dropped"], "pair")
    _say(
        console,
        f"Round {pairs.about['round']}, window {pairs.about['window']}: "
        f"the panel dropped {dropped}, a person is asked about {told['asked']}.\n"
        f"{told['answered']} answered, {told['skipped']} skipped, {told['left']} open{at_it}{pace}."
        + (f" By {names}." if names else ""),
    )


def _go_on(console: Console, config: Path, pairs: Review, rounds: int | None, resume: bool | None) -> None:
    import sys

    from serm.cli.calling import command
    from serm.cli.evolve import watch
    from serm.cli.load import is_workspace

    still = len(pairs.open())
    if still:
        _say(console, f"{still} still open; `{command('review', config)}` goes on with them.")
        return
    if is_workspace(config):
        _say(console, "The command that made the workspace goes on with the run.")
        return
    ask = resume is None and sys.stdin.isatty()
    if resume or (ask and typer.confirm("Go on with the run now?", default=True)):
        watch(config, rounds)
    else:
        _say(console, f"`{command('evolve', config)}` goes on with the run.")


def login() -> str:
    """Who is at the terminal."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "someone"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)
