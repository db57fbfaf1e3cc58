"""`serm answer`: a person answers what the supervisor asks, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serm.cli.format import clean
from serm.cli.options import Place

if TYPE_CHECKING:
    from rich.console import Console

    from serm.storage.questions import Question


def add_to(app: typer.Typer) -> None:
    app.command("answer")(answer)


def answer(
    config: Place,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="The answer; without it you are asked.")] = "",
    *,
    person: Annotated[
        str, typer.Option("--person", help="Your name, kept with the answer; your login by default.")
    ] = "",
    none: Annotated[bool, typer.Option("--none", help="There is no answer; the supervisor decides.")] = False,
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--no-resume", help="Go on with the run afterwards, or leave it; else ask."),
    ] = None,
) -> None:
    """Answer the supervisor's question; the run goes on with it."""
    from rich.console import Console

    from serm.cli.load import look_at
    from serm.cli.review import login
    from serm.storage.questions import waiting_question

    workspace = look_at(config)
    found = waiting_question(workspace.questions)
    console = Console(emoji=False, soft_wrap=True)
    if found is None:
        _say(console, f"The supervisor asks nothing in {workspace.folder}.")
        return
    question, rounds = found
    said = _said(console, question, text, none=none)
    if not (said or none):
        _say(console, "Nothing is answered; the run still waits.")
        return
    question.settle(said or None, person or login())
    _go_on(console, config, rounds, resume)


def _said(console: Console, question: Question, text: str, *, none: bool) -> str:
    """What a person says: given, or asked for at a terminal."""
    import sys

    about = question.about
    _say(
        console, f"Round {about['round']}, window {about['window']}. The supervisor asks:\n  {question.text}"
    )
    if text.strip() or none or not sys.stdin.isatty():
        return text.strip()
    return str(typer.prompt("Your answer", default="", show_default=False)).strip()


def _go_on(console: Console, config: Path, rounds: int | None, resume: bool | None) -> None:
    import sys

    from serm.cli.calling import command
    from serm.cli.evolve import watch
    from serm.cli.load import is_workspace

    if is_workspace(config):
        _say(console, "The command that made the workspace goes on with the run.")
        return
    ask = resume is None and sys.stdin.isatty()
    if resume or (ask and typer.confirm("Go on with the run now?", default=True)):
        watch(config, rounds)
    else:
        _say(console, f"`{command('evolve', config)}` goes on with the run.")


def _say(console: Console, text: str) -> None:
    console.print(clean(text), markup=False, highlight=False)  # the question is a model's
