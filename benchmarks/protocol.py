"""A protocol: one config, several arms that change it, several random seeds. `serm benchmark` runs it.

    name: verticals
    config: ../../configs/verticals.yaml
    seeds: [1, 2, 3]
    baseline: random choice            # the arm that the others are compared with
    arms:
      ours: {}
      random choice: {miner: {choice: random}}

`like: NAME` takes over all of NAME.yaml beside it; what the file says itself is laid over that, key by key.
An arm is what it changes in the config, key by key; lists replace lists. Arms run through the same graphs.
`folds` are changes of the data, each with other test queries: every arm runs in each of them, and their test
queries are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serm.benchmarks.shared_judgments import with_shared_judgments
from serm.core.errors import ConfigError
from serm.core.settings import Settings

PACKAGED = Path(__file__).resolve().parent / "protocols"


class Arm(BaseModel):
    """What an arm changes, and how it is to be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    change: dict[str, Any] = Field(default_factory=dict)
    matched: bool = True  # as many pairs sent to the panel as the others: set apart where not
    note: str = ""  # a sentence for the tables


class Market(BaseModel):
    """A simulated marketplace that is generated anew for each random seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = "default"
    size: dict[str, Any] = Field(default_factory=dict)  # as MarketplaceSettings names it
    first_seed: int = 1_000  # of the generator, added to the run's seed: no tuning used these


class Protocol(BaseModel):
    """A benchmark as its file states it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    config: Path | None = None  # relative to the protocol's file
    marketplace: Market | None = None
    seeds: tuple[int, ...] = Field(default=(1, 2, 3), min_length=1)
    baseline: str
    change: dict[str, Any] = Field(default_factory=dict)  # of all arms
    arms: dict[str, Arm] = Field(min_length=1)
    folds: dict[str, dict[str, Any]] = {"": {}}  # changes, by name
    file: Path = Field(default=Path(), exclude=True)  # where all this is written

    @model_validator(mode="before")
    @classmethod
    def _bare_changes(cls, values: Any) -> Any:
        """An arm may be written as its change alone."""
        if isinstance(values, dict) and isinstance(values.get("arms"), dict):
            arms = {
                name: arm if set(arm or {}) & {"change", "matched", "note"} else {"change": arm or {}}
                for name, arm in values["arms"].items()
            }
            values = {**values, "arms": arms}
        return values

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline `{self.baseline}` is none of the arms {', '.join(self.arms)}")
        if (self.config is None) == (self.marketplace is None):
            raise ValueError("name either a `config` or a `marketplace`")
        return self

    def settings(self, arm: str, seed: int, out: Path, fold: str = "") -> Settings:
        """The settings of one run: the config, what the protocol, the fold and the arm change, the seed.

        A simulated judge's own seed moves along, so that a seed is a new panel, too.
        """
        values: dict[str, Any]
        values, folder = self._base(seed, out)
        for change in (self.change, self.folds[fold], self.arms[arm].change):
            values = merged(values, change)
        values["random_seed"] = seed
        values["judges"] = [_reseeded(judge, seed) for judge in values.get("judges", [])]
        values["workspace"] = str(run_folder(out, arm, seed, fold) / "workspace")
        shared = out.resolve() / "shared"
        values["storage"] = {**values.get("storage", {}), "shared": str(shared)}
        settings = Settings.from_mapping(values, folder=folder, environment={}, origin=f"arm `{arm}`")
        return with_shared_judgments(settings, shared)

    def _base(self, seed: int, out: Path) -> tuple[dict[str, Any], Path]:
        if self.config is not None:
            file = (self.file.parent / self.config).resolve()
            values = _read_yaml(file)
            return values, file.parent
        from serm.benchmarks.marketplace.config import marketplace_config

        folder = out.resolve() / "data" / f"seed-{seed}"
        return dict(marketplace_config(self.market(seed))), folder

    def market(self, seed: int) -> Any:
        """The settings of the generator under a seed."""
        from serm.benchmarks.marketplace.settings import MarketplaceSettings

        if self.marketplace is None:
            raise ConfigError(f"protocol `{self.name}` has no marketplace.")
        given = self.marketplace
        return MarketplaceSettings.of(given.preset, seed=given.first_seed + seed, **given.size)


def read_protocol(path: Path | str) -> Protocol:
    """A protocol's file, or one that comes with serm by its name. Raises ConfigError where it is none."""
    file = Path(path)
    if not file.is_file() and (PACKAGED / f"{path}.yaml").is_file():
        file = PACKAGED / f"{path}.yaml"
    values = _extended(file)
    try:
        return Protocol.model_validate({**values, "file": file.resolve()})
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'protocol'}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(f"{file}: {lines}.", "docs/benchmarks.md shows a protocol.") from error


def _extended(file: Path) -> dict[str, Any]:
    """A protocol's mapping; one that is `like` another, a file beside it, is written over that."""
    values = _read_yaml(file)
    like = values.pop("like", None)
    return values if like is None else merged(_extended(file.with_name(f"{like}.yaml")), values)


def run_folder(out: Path, arm: str, seed: int, fold: str = "") -> Path:
    """Where one run keeps its workspace, its log and its mark of being done."""
    name = f"seed-{seed}-{fold}" if fold else f"seed-{seed}"
    return out.resolve() / "runs" / arm.replace("/", "-").replace(" ", "-") / name


def merged(values: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `change` over it, mapping by mapping."""
    result = dict(values)
    for key, value in change.items():
        there = result.get(key)
        if isinstance(there, Mapping) and isinstance(value, Mapping):
            value = merged(there, value)  # noqa: PLW2901
        result[key] = value
    return result


def _reseeded(judge: Any, seed: int) -> Any:
    if isinstance(judge, str):
        return _reseeded({"backend": judge}, seed)
    if not judge["backend"].startswith("simulated:"):
        return judge
    body, mark, name = judge["backend"].partition("#")
    parts = [part for part in body.split(",") if not part.strip().startswith("seed=")]
    return {**judge, "backend": f"{','.join(parts)},seed={seed}{mark}{name}"}


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(item.stem for item in PACKAGED.glob("*.yaml")))
        raise ConfigError(f"there is no file {file}.", f"Protocols that come with serm: {known}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that cannot be
        raise ConfigError(f"{file} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file} is empty.", "docs/benchmarks.md shows a protocol.")
    return values
