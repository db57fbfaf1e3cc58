"""What builds a judge from its backend string; to add a kind, add one function and one line in BUILDERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import pandas as pd

from serm.agents.chat_judge import ChatJudge
from serm.agents.model_judge import ModelJudge, OwnModel
from serm.agents.prompt import AGENT, read_prompt
from serm.core.discretion import without_login
from serm.core.errors import ConfigError
from serm.core.records import PairKey
from serm.core.settings import Settings
from serm.core.settings_loop import JudgeSettings, Price
from serm.llm.asking import Asker
from serm.llm.base import Judge
from serm.llm.budget import Budget
from serm.llm.prices import stated_price
from serm.llm.recordings import read_recordings
from serm.llm.replay import ReplayJudge
from serm.llm.simulated import SimulatedJudge
from serm.llm.spec import BackendSpec, check_parts
from serm.storage.knowledge import Searchable


@dataclass
class Opening:
    """What the builders of one panel share."""

    settings: Settings
    truth: Mapping[PairKey, int] | None  # for simulated judges alone
    budget: Budget
    knowledge: Callable[[], Searchable] | None = None  # opened where a judge searches it
    own: Callable[[], OwnModel] | None = None  # opens the model in use, where a judge grades by it
    files: dict[str, pd.DataFrame] = field(default_factory=dict)  # judgments files that are read


def _over(model: Asker, name: str, judge: JudgeSettings, opening: Opening) -> Judge:
    """The judge over a chat model: with a prompt, or where it may search, an agent that calls tools."""
    settings = opening.settings
    if not judge.knowledge:
        prompt = read_prompt(judge.prompt, settings.folder, judge.document_limit)
        return ChatJudge(name, model, prompt, judge.grades, logprobs=judge.logprobs == "auto")
    if not hasattr(model, "turn"):
        raise _cannot_search(name, judge)
    if opening.knowledge is None:
        raise ConfigError(
            f"judge `{name}` searches a knowledge base, and there is none here.",
            "Use it in `serm evolve` or `serm annotate`, or leave out `knowledge`.",
        )
    from serm.agents.judge_agent import JudgeAgent  # brings langchain along

    chosen = judge.prompt if "prompt" in judge.model_fields_set else AGENT
    return JudgeAgent(
        name,
        cast(Any, model),
        read_prompt(chosen, settings.folder, judge.document_limit),
        opening.knowledge(),
        settings.knowledge,
        judge.grades,
    )


def _cannot_search(name: str, judge: JudgeSettings) -> ConfigError:
    backend = without_login(judge.backend)
    return ConfigError(
        f"judge `{name}` is to search before it grades (`knowledge`), and `{backend}` calls no tools.",
        "Leave out `knowledge`, or name a chat model that calls tools.",
    )


Builder = Callable[[str, BackendSpec, JudgeSettings, Opening], Judge]


def _replay(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    if judge.knowledge:
        raise _cannot_search(name, judge)
    file = opening.settings.resolve(spec.target)
    if spec.target not in opening.files:
        opening.files[spec.target] = read_recordings(file)
    recordings = opening.files[spec.target]
    return ReplayJudge.open(file, spec.model, name=name, grades=judge.grades, recordings=recordings)


def _simulated(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    if judge.knowledge:
        raise _cannot_search(name, judge)
    if opening.truth is None:
        raise ConfigError(
            f"judge `{name}` is simulated, and there are no human grades to simulate it from.",
            "Use a simulated judge on data whose stream bears grades.",
        )
    params = spec.params
    return SimulatedJudge(name, opening.truth, **params)


def _chat(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    from serm.llm.openai_compatible import ChatClient  # heavy, and not needed for recorded judges

    settings = opening.settings
    client = ChatClient(
        spec,
        settings.llm,
        seed=settings.random_seed,
        price=_price(name, spec, settings),
        budget=opening.budget,
        key_variable=judge.api_key_env,
        options=judge.options,
    )
    return _over(client, name, judge, opening)


def _langchain(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    from serm.llm.langchain_model import LangchainModel

    settings = opening.settings
    price = _price(name, spec, settings)
    model = LangchainModel(spec, settings.llm, seed=settings.random_seed, price=price, budget=opening.budget)
    return _over(model, name, judge, opening)


def _price(name: str, spec: BackendSpec, settings: Settings) -> Price | None:
    return stated_price(settings, spec, name, spec.model, key="judges")


def _vllm(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    from serm.llm.vllm_asker import VllmAsker
    from serm.llm.weights import located, weights_revision

    settings = opening.settings
    location = located(spec.model, settings.folder)
    asker = VllmAsker(
        spec.model,
        settings.llm,
        location=location,
        seed=settings.random_seed,
        price=_price(name, spec, settings),
        budget=opening.budget,
    )
    built = _over(asker, name, judge, opening)
    built.revision = weights_revision(location)
    return built


def _scripted(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    from serm.llm.script import read_script
    from serm.llm.scripted import ScriptedAsker

    settings = opening.settings
    asker = ScriptedAsker(read_script(settings.resolve(spec.target), spec.model or name))
    return _over(asker, name, judge, opening)


def _model(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
    del spec
    if judge.knowledge:
        raise _cannot_search(name, judge)
    if opening.own is None:
        raise ConfigError(
            f"judge `{name}` grades by the model in use, and there is none here.", "Use it in `serm evolve`."
        )
    return cast(Judge, ModelJudge(name, opening.own))  # its revision is read-only


def _checked(build: Builder) -> Builder:
    """The same, and a key or options that the backend has no use for are refused: nobody would miss them."""

    def checked(name: str, spec: BackendSpec, judge: JudgeSettings, opening: Opening) -> Judge:
        check_parts(spec, *(f"judges.{key}" for key in ("api_key_env", "options") if getattr(judge, key)))
        return build(name, spec, judge, opening)

    return checked


_BUILDERS: Final[Mapping[str, Builder]] = {
    "replay": _replay,
    "simulated": _simulated,
    "openai": _chat,
    "http": _chat,
    "langchain": _langchain,
    "vllm": _vllm,
    "scripted": _scripted,
    "model": _model,
}
BUILDERS: Final[Mapping[str, Builder]] = {kind: _checked(build) for kind, build in _BUILDERS.items()}
