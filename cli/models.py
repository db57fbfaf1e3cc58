"""`serm models`: the versions there are, and which one is in use."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from serm.cli.options import Config, Place, Version

if TYPE_CHECKING:
    from serm.relevance_model.registry import ModelRegistry
    from serm.storage.workspace import Workspace


class _ListByDefault(TyperGroup):
    """`serm models CONFIG` is `serm models list CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


commands = typer.Typer(
    cls=_ListByDefault, no_args_is_help=True, help="List model versions, or choose the one in use by hand."
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="models")


@commands.command("list")
def list_versions(
    place: Place,
    as_json: Annotated[
        bool, typer.Option("--json", help="The versions as a list, and nothing else.")
    ] = False,
) -> None:
    """List the versions (the default: `serm models CONFIG`)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from serm.cli.load import look_at

    registry = _registry(look_at(place))
    versions = registry.versions()
    if as_json:
        print(json.dumps([asdict(item) for item in versions], indent=2))
        return
    if not versions:
        print("The registry knows no model of this workspace. `serm evolve` registers those that there are.")
        return
    table = Table("version", "model", "alias", "made", "about", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.overflow = "fold"  # a cut-off id is of no use
    for version in versions:
        about = ", ".join(
            f"{_bare(key)} {value}" for key, value in sorted(version.tags.items()) if key != _ID
        )
        table.add_row(
            str(version.version),
            version.model_id,
            Text(", ".join(version.aliases)),
            _when(version.created),
            Text(about),
        )
    Console(emoji=False).print(table)


@commands.command("promote")
def promote(
    config: Config,
    version: Annotated[int, typer.Argument(min=1, help="The version to use from now on.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Move the alias `champion` to a version by hand, past the gate. The next round starts from it."""
    from serm.cli.load import load_settings
    from serm.graphs.in_use import find_weights
    from serm.relevance_model.description import read_description
    from serm.relevance_model.registry import CHAMPION
    from serm.storage.workspace import Workspace

    with Workspace.open(load_settings(config)) as workspace:
        registry = _registry(workspace)
        chosen = find_weights(workspace, version)
        read_description(chosen.folder)  # a damaged one would be a champion that nothing opens
        before = registry.alias(CHAMPION)
        if before and before[0] == version:
            print(f"Version {version} is the champion already.")
            return
        now = f"version {before[0]}" if before else "none"
        if not yes:
            question = f"Champion now: {now}. Use version {version} ({chosen.model_id}) in its place?"
            typer.confirm(question, abort=True)
        registry.set_alias(CHAMPION, version)
    print(f"Champion: version {version} ({chosen.model_id}); before: {now}.")


@commands.command("export")
def export(
    place: Place,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the weights.")],
    version: Version = None,
) -> None:
    """Copy the champion, or another version, to a folder that sentence-transformers opens."""
    from serm.cli.load import look_at
    from serm.graphs.in_use import find_weights
    from serm.relevance_model.exporting import export_model, left_to_the_caller

    weights = find_weights(look_at(place), version)
    export_model(weights.folder, folder)
    print(f"Version {weights.version} ({weights.model_id}): {folder}.")
    if told := left_to_the_caller(weights.folder):
        print(told)


@commands.command("prune")
def prune(
    config: Config,
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="Newest versions that stay, whatever became of them.")
    ] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the weights and embeddings of versions that no round needs any more, and unused layer states.

    Untrained, frozen, the champion, the one before it and whatever bears an alias stay. Reports, labels and
    traces of all rounds stay.
    """
    from serm.cli.format import count, size
    from serm.cli.load import load_settings
    from serm.graphs.pruning import bytes_of, prunable, remove, remove_folder, unused_states
    from serm.graphs.resources import Resources

    with Resources(load_settings(config)) as resources:
        found = prunable(resources, keep)
        for item in found:
            print(f"version {item.version} ({item.model_id}): {size(item.bytes)}")
        states = unused_states(resources, found)
        if states:
            print(f"layer states that no version uses: {size(bytes_of(states))}")
        told = f"{count(len(found), 'version')}, {size(sum(item.bytes for item in found) + bytes_of(states))}"
        if dry_run or not (found or states):
            print(f"To prune: {told}." if found or states else "Nothing to prune.")
            return
        if not yes:
            typer.confirm(f"Remove weights, embeddings and states of {told}?", abort=True)
        for item in found:
            remove(resources, item)
        for folder in states:
            remove_folder(folder)
    print(f"Pruned {told}.")


_ID = "serm.model_id"


def _registry(workspace: Workspace) -> ModelRegistry:
    from serm.relevance_model.registry import ModelRegistry

    return ModelRegistry(workspace.found_mlflow(), workspace.registered_as)


def _bare(key: str) -> str:
    return key.removeprefix("serm.")


def _when(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
