"""What a user can set: one YAML file, or `SERM_` environment variables over it.

Paths in a config are relative to the config's file. `SERM_JUDGES=openai:gpt-4o` or
`SERM_BUDGET__PAIRS_PER_ROUND=300` override a key (see environment.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from serm.core.discretion import without_login, without_logins
from serm.core.environment import named_by, with_environment
from serm.core.errors import ConfigError
from serm.core.hashing import digest
from serm.core.settings_data import DataSettings
from serm.core.settings_loop import (
    PACKAGED_MODEL,
    AgentSettings,
    AgreementSettings,
    BudgetSettings,
    EvaluationSettings,
    EvolutionSettings,
    GateSettings,
    JudgeSettings,
    KnowledgeSettings,
    LlmSettings,
    ModelSettings,
    StorageSettings,
    TracingSettings,
    TrainingSettings,
)
from serm.core.settings_miner import MinerSettings
from serm.core.yaml_file import read_yaml

NOT_IDENTITY = ("workspace", "llm", "storage", "tracing", "evolution", "evaluation")
"""Sections that may change between two runs in one workspace: they change speed or length, not results. Of
`llm` the sampling and `max_tokens` do change answers; but a model may refuse them, or need more, in the midst
of a run, and a judgment is kept under those that it was asked with."""

ALSO_FREE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"model": ("device", "batch_size"), "miner": ("executor",)}
)
"""Keys of other sections of which the same holds."""
ACCEPTED = (
    "judges",
    "agents",
    "agreement",
    "knowledge",
    "budget",
    "miner",
    "training",
    "gate",
    "data.windows.open",
)
"""Sections that a workspace may go on under other values of, where a person says so: what was mined, labelled
and trained before stays what it is, and what comes is made by the new ones. Data, base model and random seed
are not among them: they decide what may be mined, trained on and measured at all. But for
`data.windows.open`: windows that a round has used stay what they are."""
NEVER_ACCEPTED = ("gate.judged_share",)
"""Keys of these sections that shape the data."""


_SECTIONS = ("model_type", "dict_type", "model_attributes_type")
_NO_SECTION = "it is a section: put its keys below it, indented, or leave it out"


class Settings(BaseModel):
    """A whole configuration. `Settings.from_yaml(path)` reads one; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: Path = Path(".serm")  # the folder that holds everything a run makes
    random_seed: int = 7  # makes a run repeatable
    data: DataSettings = DataSettings()
    judges: tuple[JudgeSettings, ...] = ()
    model: ModelSettings = ModelSettings()
    agents: AgentSettings = AgentSettings()
    miner: MinerSettings = MinerSettings()
    agreement: AgreementSettings = AgreementSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    budget: BudgetSettings = BudgetSettings()
    training: TrainingSettings = TrainingSettings()
    gate: GateSettings = GateSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    evolution: EvolutionSettings = EvolutionSettings()
    llm: LlmSettings = LlmSettings()
    storage: StorageSettings = StorageSettings()
    tracing: TracingSettings = TracingSettings()

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("judges", mode="before")
    @classmethod
    def _judges_may_be_strings(cls, value: object) -> object:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)):
            return tuple({"backend": item} if isinstance(item, str) else item for item in value)
        return value

    @model_validator(mode="after")
    def _names_of_sources_are_those_of_sources(self) -> Self:
        """A name that is misspelt would leave a panel without a judge, or a set without rows. A config of
        judges alone has no sources: there `--source` says what the pairs are called."""
        known = [source.label for source in self.data.sources]
        named = {
            **{f"judges.{place}.sources": judge.sources for place, judge in enumerate(self.judges)},
            **{f"data.{place}.source": when.source or () for place, when in self.data.conditions()},
        }
        for key, names in named.items():
            wrong = [name for name in names if name not in known]
            if known and wrong:
                raise ValueError(f"{key}: there is no source `{wrong[0]}`; there are {', '.join(known)}")
        return self

    @classmethod
    def from_yaml(cls, path: Path | str, environment: Mapping[str, str] | None = None) -> Self:
        """Read a config file, apply `SERM_` variables, check everything.

        Raises ConfigError with the key's name where a key is unknown or a value does not fit.
        """
        file = Path(path)
        try:
            loaded = read_yaml(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"there is no config file {file}.", "Write one with `serm init`.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file} cannot be read: {error}.", "Name a YAML file in UTF-8 that you may read."
            ) from error
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that no calendar has
            raise ConfigError(
                f"{file} is not YAML: {without_login(str(error))}.",
                "Correct it; `serm init` writes one that is.",
            ) from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"{file} holds no settings.", "Write one with `serm init`.")
        return cls.from_mapping(loaded, folder=file.parent, environment=environment, origin=str(file))

    @classmethod
    def from_mapping(
        cls,
        values: Mapping[str, Any],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        origin: str = "the settings",
    ) -> Self:
        variables = os.environ if environment is None else environment
        merged = with_environment(values, variables, cls)
        try:
            settings = cls.model_validate(merged)
        except ValidationError as error:
            lines = []
            for item in error.errors():
                where = ".".join(str(part) for part in item["loc"]) or "settings"
                variable = named_by(variables, item["loc"])
                said = _NO_SECTION if item["type"] in _SECTIONS else item["msg"]
                lines.append(f"{f'the variable {variable}' if variable else origin}: {where}: {said}")
            raise ConfigError(f"{'; '.join(lines)}.", "docs/config.md lists every key.") from error
        settings._folder = (folder or Path.cwd()).resolve()
        return settings

    def changed(self, **sections: Any) -> Self:
        """The same settings with other values, checked as a config's are: a section's keys are laid over its
        own, a list takes the place of a list.

            settings.changed(judges=["openai:gpt-4o"], budget={"pairs_per_round": 300})

        Raises ConfigError with the key's name where a key is unknown or a value does not fit.
        """
        values = self.model_dump(mode="json", exclude_unset=True)
        with_keys: list[JudgeSettings | AgentSettings] = [*self.judges, self.agents]
        dumped = [*values.get("judges", [{}] * len(self.judges)), values.get("agents", {})]
        for given, there in zip(with_keys, dumped, strict=True):
            if given.api_key_env:  # dumps leave the names of keys' variables out
                there["api_key_env"] = given.api_key_env
        for name, value in sections.items():
            section = values.get(name)
            if isinstance(section, dict) and isinstance(value, Mapping):
                values[name] = {**section, **value}
            else:
                values[name] = value
        return type(self).from_mapping(values, folder=self.folder, environment={})

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: where the config's file lies."""
        return self._folder

    def resolve(self, path: Path | str) -> Path:
        return (self._folder / path).resolve()

    @property
    def base_model(self) -> ModelSettings:
        """`model`, with a base that is a folder made absolute; `minilm` and a hub's ids stay as they are."""
        folder = self.resolve(Path(self.model.base).expanduser())
        if self.model.base == PACKAGED_MODEL or not folder.is_dir():
            return self.model
        return self.model.model_copy(update={"base": str(folder)})

    @property
    def workspace_path(self) -> Path:
        return self.resolve(self.workspace)

    def identity(self) -> dict[str, Any]:
        """The keys that decide results. A workspace is bound to them (see storage/workspace.py).

        `budget.currency` is not among them: a run that spent its money goes on under a larger budget. Nor are
        logins in URLs: a new password is no other configuration, and none is written to the workspace.
        """
        values = without_logins(self.model_dump(mode="json", exclude=set(NOT_IDENTITY)))
        del values["budget"]["currency"]
        for section, names in ALSO_FREE.items():
            values[section] = {name: value for name, value in values[section].items() if name not in names}
        return dict(values)

    def fingerprint(self) -> str:
        return digest(self.identity())
