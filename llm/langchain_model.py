"""Any chat model of LangChain's, by its `provider:model` string, as a judge and for agents.

What is common to all servers (retries, budget, pace, what a server does not know) is `Exchange`'s; the
provider's own retries are switched off, so that there is one retry layer here, too. A judge's answer is asked
for by `with_structured_output`, in the way that the provider's package thinks best: a JSON schema, or a tool
whose arguments are the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import ValidationError

from serm.core.errors import ConfigError, MissingDependencyError
from serm.core.settings_loop import LlmSettings, Price
from serm.llm.budget import Budget
from serm.llm.completions import Completion
from serm.llm.elsewhere import elsewhere
from serm.llm.exchange import Exchange
from serm.llm.langchain_messages import to_completion, to_langchain
from serm.llm.odd_calls import misread
from serm.llm.provider_errors import problem_of_provider
from serm.llm.providers import package_of
from serm.llm.retry import Problem, short
from serm.llm.spec import BackendSpec

ANSWER: Final = "answer"
"""What the schema of an answer is called, and the tool that stands for it."""
_LENGTHS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
_SEEDS: Final = ("seed", "random_seed")


class LangchainModel(Exchange):
    """Fulfils `Asker` and `Converser` over one model of one provider."""

    def __init__(
        self,
        spec: BackendSpec,
        settings: LlmSettings,
        *,
        seed: int = 0,
        price: Price | None = None,
        budget: Budget | None = None,
        model: BaseChatModel | None = None,
    ) -> None:
        """`model`: one that is open already. Raises as `open_model` does."""
        super().__init__(spec.model, settings, seed=seed, price=price, budget=budget)
        self.sampling = {**self.sampling, "provider": spec.target}
        self._model = model or open_model(spec, settings)
        self._fields = set(type(self._model).model_fields)
        self._variants: dict[tuple[object, ...], BaseChatModel] = {}

    async def _complete(self, request: dict[str, Any]) -> Completion:
        try:
            answered = await elsewhere(self._runnable(request).ainvoke(to_langchain(request["messages"])))
        except ValidationError as error:
            if (answered := misread(error)) is None:
                raise
        message = answered["raw"] if isinstance(answered, dict) else answered
        return to_completion(message, answer="" if request.get("tools") else ANSWER)

    def _problem_of(self, error: Exception) -> Problem:
        return problem_of_provider(error)

    async def close(self) -> None:
        """Nothing: what the package keeps open it shares with other models."""

    def _runnable(self, request: Mapping[str, Any]) -> Runnable[Any, Any]:
        """The model as this request wants it."""
        model = self._variant(request)
        if request.get("tools"):
            forced = request.get("tool_choice") == "required"
            return model.bind_tools(request["tools"], **({"tool_choice": "any"} if forced else {}))
        form = request.get("response_format") or {}
        schema = form.get("json_schema", {}).get("schema", {})
        if "properties" not in schema:  # no package takes a choice of several objects for an answer
            return model
        schema = {"title": ANSWER, "description": "The answer.", **schema}
        try:
            return model.with_structured_output(schema, include_raw=True)
        except NotImplementedError:  # it has none: the prompt asks for JSON, too
            return model

    def _variant(self, request: Mapping[str, Any]) -> BaseChatModel:
        """The model with the request's sampling, as far as its class knows of it."""
        wanted = {"temperature": request.get("temperature"), **dict.fromkeys(_SEEDS, request.get("seed"))}
        wanted |= {name: request[name] for name in ("logprobs", "top_logprobs") if name in request}
        known = {name: value for name, value in wanted.items() if name in self._fields}
        key = tuple(known.items())
        if key not in self._variants:
            self._variants[key] = self._model.model_copy(update=known)
        return self._variants[key]


def open_model(spec: BackendSpec, settings: LlmSettings) -> BaseChatModel:
    """The chat model that a spec of kind `langchain` names, without retries, with the settings that its class
    knows.

    Keys and addresses come from the variables that the provider's package reads (ANTHROPIC_API_KEY,
    OLLAMA_HOST, ...). Raises MissingDependencyError without LangChain or the provider's package, ConfigError
    where the package refuses the model or its settings.
    """
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingDependencyError(
            f"`{spec.text}` needs LangChain, and it is not installed.", "pip install langchain"
        ) from error

    def init(**options: Any) -> BaseChatModel:
        return cast(BaseChatModel, init_chat_model(spec.model, model_provider=spec.target, **options))

    try:
        options = _options(type(init()), settings)
        return init(**options)
    except ImportError as error:
        package = package_of(spec.target)
        raise MissingDependencyError(
            f"`{spec.text}` needs the package {package}.", f"pip install {package}"
        ) from error
    except Exception as error:  # each package has errors of its own for a key or a name it does not like
        raise ConfigError(
            f"`{spec.text}` cannot be opened: {short(error)}",
            "Check the provider's name, the model's name and the variable that holds the key.",
        ) from error


def _options(kind: type[BaseChatModel], settings: LlmSettings) -> dict[str, Any]:
    """What a class is to be made with, by the names that it knows."""
    names = {name for key, field in kind.model_fields.items() for name in (key, field.alias) if name}
    length = next((name for name in _LENGTHS if name in names), None)
    wanted: dict[str, Any] = {
        "temperature": settings.temperature,
        "timeout": settings.timeout,
        "max_retries": 0,
    }
    if length is not None:
        wanted[length] = settings.max_tokens
    return {name: value for name, value in wanted.items() if name in names}
