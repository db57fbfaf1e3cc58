"""One judgments database for the runs of a benchmark whose judges take time or money.

Recorded and simulated judges stay in each run's own: they cost nothing, and many processes would wait for one
file. So do judges under a budget of money: what another arm has paid for would let one go further.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.llm.spec import parse_backend

DATABASE: Final = "judgments.sqlite"
_FREE: Final = {"replay", "simulated", "scripted", "model"}
"""Kinds of judges that answer at once, in the run's own process."""


def with_shared_judgments(settings: Settings, shared: Path) -> Settings:
    """The settings of a run, with the database in `shared` where its judgments belong there.

    `storage.database` of the config stays, and a run that an earlier version began goes on with its own.
    """
    own = settings.workspace_path / DATABASE
    free = all(parse_backend(judge.backend).kind in _FREE for judge in settings.judges)
    begun = own.is_file() and not own.is_symlink()
    if free or begun or settings.storage.database is not None or settings.budget.currency is not None:
        return settings
    storage = settings.storage.model_copy(update={"database": f"sqlite:///{shared / DATABASE}"})
    return settings.model_copy(update={"storage": storage})


def require_names(arms: Iterable[tuple[str, Settings]]) -> None:
    """Raises ConfigError where two arms ask two servers by one judge's and one model's name: where judgments
    are shared, each would be told what the other's judge had said."""
    servers: dict[tuple[str, str], tuple[str, str]] = {}
    for arm, settings in arms:
        for judge in settings.judges if settings.storage.database else ():
            spec = parse_backend(judge.backend)
            name = judge.name or spec.name
            other, server = servers.setdefault((name, spec.model), (arm, spec.target))
            if server != spec.target:
                raise ConfigError(
                    f"judge `{name}` is {server} in arm `{other}` and {spec.target} in arm `{arm}`.",
                    "Give them different `name`s: what a judge has said is shared by its name and model.",
                )
