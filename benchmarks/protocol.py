"""A protocol: one config, several arms that change it, several random seeds. `serm benchmark` runs it.

    name: verticals
    config: ../../configs/verticals.yaml
    seeds: [1, 2, 3]
    baseline: random choice            # the arm that the others are compared with
    arms:
      ours: {}
      random choice: {miner: {choice: random}}

`like: NAME` takes over all of NAME.yaml beside it, or of serm's own protocol of that name; what the file says
itself is laid over that, key by key, and an arm that is null in it is left out. A config, or a folder, in the
place of a protocol is compared by the arms of `collection.yaml`.
An arm is what it changes in the config, key by key; lists and `miner.agents` are replaced whole. Arms run
through the same graphs. `ablations` are further arms, the first one with a part left out or done otherwise: a
report has them in a table of their own.
`folds` are changes of the data, each with other test queries: every arm runs in each of them, and their test
queries are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serm.benchmarks.overlay import merged, unstated
from serm.benchmarks.seeded_judges import judges_of
from serm.benchmarks.shared_judgments import with_shared_judgments
from serm.core.errors import ConfigError
from serm.core.settings import Settings
from serm.core.yaml_file import read_yaml
from serm.storage.folder import folder_values

PACKAGED = Path(__file__).resolve().parent / "protocols"
COLLECTION: Final = "collection"
"""The protocol for data of one's own: its arms name no judge that a config may not have."""

_ITS_OWN: Final = ("random_seed", "workspace")
"""What each run has of its own; and `storage.shared`."""


class Arm(BaseModel):
    """What an arm changes, and how it is to be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    change: dict[str, Any] = Field(default_factory=dict)
    only_judge: int | None = Field(default=None, ge=1)  # of the config's judges this one alone, from 1
    matched: bool = True  # as many pairs sent to the panel as the others: set apart where not
    ablation: bool = False  # what `ablations` lists
    note: str = ""  # a sentence for the tables

    @model_validator(mode="after")
    def _a_budget_of_its_own_is_not_matched(self) -> Self:
        budget = self.change.get("budget")  # one that is no section the settings refuse
        if self.matched and isinstance(budget, dict) and set(budget) - {"currency"}:
            raise ValueError("it changes `budget`: say `matched: false`, and tables set it apart")
        return self


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
    folds: dict[str, dict[str, Any]] = Field(default={"": {}}, min_length=1)  # changes, by name
    file: Path = Field(default=Path(), exclude=True)  # where all this is written

    @model_validator(mode="before")
    @classmethod
    def _bare_changes(cls, values: Any) -> Any:
        """An arm may be written as its change alone; ablations are arms."""
        if not isinstance(values, dict) or not isinstance(values.get("arms"), dict):
            return values
        ablations = values.get("ablations") or {}
        if not isinstance(ablations, dict):
            raise ValueError("`ablations` is a mapping, as `arms` is")
        if twice := sorted(set(ablations) & set(values["arms"]), key=str):
            raise ValueError(f"arm and ablation at once: {', '.join(map(str, twice))}")
        arms = {name: _whole(name, arm) for name, arm in values["arms"].items()}
        arms |= {name: {**_whole(name, arm), "ablation": True} for name, arm in ablations.items()}
        return {key: value for key, value in values.items() if key != "ablations"} | {"arms": arms}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline `{self.baseline}` is none of the arms {', '.join(self.arms)}")
        if (self.config is None) == (self.marketplace is None):
            raise ValueError("name either a `config` or a `marketplace`")
        if len({*self.seeds}) < len(self.seeds):
            raise ValueError(f"a seed stands twice in {', '.join(map(str, self.seeds))}")
        changes = {"`change`": self.change}
        changes |= {f"fold `{name}`": change for name, change in self.folds.items()}
        changes |= {f"arm `{name}`": arm.change for name, arm in self.arms.items()}
        for place, change in changes.items():
            if keys := _of_the_benchmark(change):
                raise ValueError(f"{place} sets `{keys[0]}`, which the benchmark sets itself: leave it out")
        folders: dict[str, str] = {}
        for arm in self.arms:
            other = folders.setdefault(_folder_of(arm), arm)
            if other != arm:
                raise ValueError(f"arms `{other}` and `{arm}` would be one folder: rename one of them")
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
        values["judges"] = judges_of(values.get("judges"), self.arms[arm].only_judge, seed, arm)
        values["workspace"] = str(run_folder(out, arm, seed, fold) / "workspace")
        shared, storage = out.resolve() / "shared", values.get("storage", {})
        if isinstance(storage, Mapping):  # what is no section the settings refuse
            values["storage"] = {**storage, "shared": str(shared)}
        settings = Settings.from_mapping(values, folder=folder, environment={}, origin=f"arm `{arm}`")
        return with_shared_judgments(settings, shared)

    @property
    def called(self) -> str:
        """What `serm benchmark` was given: one of serm's own by its name, else the file or folder."""
        return self.name if self.file.parent == PACKAGED else self.file.name

    def _base(self, seed: int, out: Path) -> tuple[dict[str, Any], Path]:
        if self.config is not None:
            file = (self.file.parent / self.config).resolve()
            return (folder_values(file), file) if file.is_dir() else (_read_yaml(file), file.parent)
        from serm.benchmarks.marketplace.config import marketplace_config

        folder = out.resolve() / "data" / f"seed-{seed}"
        return dict(marketplace_config(self.market(seed))), folder

    def market(self, seed: int) -> Any:
        """The settings of the generator under a seed. Raises ConfigError where it has no such size."""
        from serm.benchmarks.marketplace.settings import MarketplaceSettings

        if self.marketplace is None:
            raise ConfigError(f"protocol `{self.name}` has no marketplace.")
        given = self.marketplace
        try:
            return MarketplaceSettings.of(given.preset, seed=given.first_seed + seed, **given.size)
        except TypeError as error:  # a name that it does not know, or a value that is no number
            raise ConfigError(
                f"protocol `{self.name}`: `marketplace.size` cannot be read: {error}.",
                "Name sizes as benchmarks/marketplace/settings.py does, in whole numbers.",
            ) from error


def _whole(name: object, arm: Any) -> dict[str, Any]:
    """An arm's mapping, also where it is written as its change alone. Raises ValueError where it is none."""
    if arm is None:
        raise ValueError(
            f"arm `{name}` is null, and not one to leave out: write `{{}}` if it changes nothing"
        )
    if not isinstance(arm, dict):
        raise ValueError(f"arm `{name}` is `{arm}`: write what it changes as a mapping, or `{{}}`")
    return arm if set(arm) & {*Arm.model_fields} else {"change": arm}


def _of_the_benchmark(change: Mapping[str, Any]) -> list[str]:
    """The keys of a change that are each run's own, so that it would change nothing."""
    storage = change.get("storage")
    shared = isinstance(storage, Mapping) and "shared" in storage
    return [key for key in _ITS_OWN if key in change] + (["storage.shared"] if shared else [])


def read_protocol(path: Path | str) -> Protocol:
    """A protocol's file, one that comes with serm by its name, or the arms of `collection` over a config or a
    folder of data. Raises ConfigError where it is none of these."""
    file = Path(path)
    if not file.exists() and (PACKAGED / f"{path}.yaml").is_file():
        file = PACKAGED / f"{path}.yaml"
    values = _of_collection(file) if _is_data(file) else _extended(file)
    if file == PACKAGED / f"{COLLECTION}.yaml":
        raise ConfigError(
            f"`{COLLECTION}` compares arms on data of yours.",
            "Name a config or a folder: `serm benchmark FOLDER`.",
        )
    try:
        return Protocol.model_validate({**values, "file": file.resolve()})
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'protocol'}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(f"{file}: {lines}.", "docs/benchmarks.md shows a protocol.") from error


def _extended(file: Path, over: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A protocol's mapping, over that of the one beside it, or of serm's own, that it is `like`. `over`: what
    is like it, the first one first. Raises ConfigError where it is one of these."""
    chain = (*over, file.resolve())
    if chain[-1] in over:
        raise ConfigError(
            f"{over[0]}: no protocol is like itself: {' like '.join(item.stem for item in chain)}.",
            "Let one of them stand by itself.",
        )
    values = _read_yaml(file)
    if isinstance(values.get("config"), str):  # it says where from its own file, whoever is like it
        values["config"] = str((file.parent / values["config"]).resolve())
    like = values.pop("like", None)
    return values if like is None else _laid_over(_extended(_named_by(file, str(like)), chain), values)


def _laid_over(stated: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` over those of the protocol that they are like. An arm of it that is null there is left out."""
    found = merged(stated, values)
    for section in ("arms", "ablations"):
        there, here = stated.get(section), values.get(section)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            gone = {name for name in there if name in here and here[name] is None}
            found[section] = {name: arm for name, arm in found[section].items() if name not in gone}
    return found


def _named_by(file: Path, like: str) -> Path:
    """The protocol that one names by `like`: beside it, or of serm's own. A file of the same name as one of
    serm's means that one, and not itself."""
    if not like or Path(like).name != like:
        raise ConfigError(
            f"{file}: `like: {like}` is no name of a protocol.",
            "Write the name of a file beside it, or of one of serm's own, without folder and `.yaml`.",
        )
    beside = file.with_name(f"{like}.yaml")
    itself = beside.resolve() == file.resolve()
    return beside if beside.is_file() and not itself else PACKAGED / beside.name


def _is_data(file: Path) -> bool:
    """Whether it is a folder, or a config: what is to be compared on, with arms that nobody wrote."""
    return file.is_dir() or (file.is_file() and "data" in _read_yaml(file))


def _of_collection(config: Path) -> dict[str, Any]:
    config = config.resolve()
    written = config / "serm.yaml"
    given = written if written.is_file() else config
    name = f"{COLLECTION}-{config.name if config.is_dir() else config.stem}"
    values = _extended(PACKAGED / f"{COLLECTION}.yaml")
    recipe = unstated(values["change"], _read_yaml(given) if given.is_file() else {})
    return {**values, "name": name, "config": str(given), "change": recipe}


def run_folder(out: Path, arm: str, seed: int, fold: str = "") -> Path:
    """Where one run keeps its workspace, its log and its mark of being done."""
    name = f"seed-{seed}-{fold}" if fold else f"seed-{seed}"
    return out.resolve() / "runs" / _folder_of(arm) / name


def _folder_of(arm: str) -> str:
    return arm.replace("/", "-").replace(" ", "-")


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = read_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(item.stem for item in PACKAGED.glob("*.yaml")))
        raise ConfigError(f"there is no file {file}.", f"Protocols that come with serm: {known}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that cannot be
        raise ConfigError(f"{file} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{file} is empty.", "docs/benchmarks.md shows a protocol.")
    return values
