"""Settings of mining: the agents and their shares, their signals, what chooses among nominations."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from serm.core.settings_data import Section

AgentName = Literal[
    "feedback",
    "click_model",
    "uncertainty",
    "disagreement",
    "drift",
    "skipped",
    "bald",
    "committee",
    "novelty",
]
ExecutorName = Literal["local", "ray"]
DriftTestName = Literal["mmd", "ks", "classifier", "outputs"]
AGENT_NAMES: tuple[AgentName, ...] = get_args(AgentName)
DEFAULT_AGENTS: tuple[AgentName, ...] = ("feedback", "uncertainty", "disagreement", "drift")
"""The others are off until a share is given: on the simulated marketplace none of them added anything that
shows (docs/results/signals.md)."""


class FloorSettings(Section):
    language: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget that each language gets at least, where it has so many candidates."""
    stratum: float = Field(default=0.0, ge=0, le=1)
    """Likewise head, torso and tail. Where all floors come to more than the budget, all are lowered alike."""


class MinerSettings(Section):
    choice: Literal["mined", "random"] = "mined"  # random: no agent is asked; the baseline to beat
    agents: dict[AgentName, Annotated[float, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=lambda: dict.fromkeys(DEFAULT_AGENTS, 1.0)
    )
    """Agents that take part and their share of the budget, relative to each other. `click_model`,
    `skipped`, `bald`, `committee` and `novelty` can be added."""
    uncertainty: Literal["entropy", "margin"] = "entropy"  # what the uncertainty agent goes by
    density: float = Field(default=0.0, ge=0)
    """How much more a doubt counts where queries are many: uncertainty, disagreement, BALD, the committee's
    gap and the drift agent's doubts are multiplied by the query's density to this power. 0: an outlier counts
    as much."""
    passes: int = Field(default=4, ge=2)  # stochastic passes of the disagreement and BALD agents
    pool: int = Field(default=1_000, ge=1)
    """Pairs that get stochastic passes, and the committee's scores, the most uncertain first."""
    dropout_layers: int | None = Field(default=1, ge=1)
    """Upper layers that have dropout in those passes, which then share the lower ones; null: all layers.
    With the pool, what keeps mining's time under a fifth of scoring's (docs/performance.md)."""
    executor: ExecutorName = "local"
    """Who scores the shards of a window: this process, or `ray` (extra `ray`; a cluster by RAY_ADDRESS)."""
    dwell_engaged: float = Field(default=30.0, gt=0)  # seconds; tau_u of the paper, chosen
    low_score: float = Field(default=1.0, ge=0, le=3)  # tau_c: a score under this is low, chosen
    click_probability: float = Field(default=0.5, gt=0, lt=1)  # tau_cm, chosen
    high_score: float = Field(default=2.0, ge=0, le=3)  # a score above this is high, chosen
    skip_probability: float = Field(default=0.05, gt=0, lt=1)
    """A pair counts as skipped where another of its score, shown as often at its position, would have got no
    click at all with at most this probability; chosen."""
    drift_level: float = Field(default=0.05, ge=0.001, lt=1)  # significance of the drift tests
    drift_tests: tuple[DriftTestName, ...] = ("mmd",)
    """Tests of all queries beside the one of their regions: `mmd`, `ks` (of each dimension), `classifier`
    (can one be told from the other?), `outputs` (the model's own grade distributions)."""
    drift_reference: Literal["last", "all"] = "all"
    """What came before: the seed and all windows, or the last one alone (the seed before the first)."""
    near_duplicate: float = Field(default=0.97, gt=0, le=1)  # cosine of two documents of one query
    near_text: float = Field(default=0.9, gt=0, le=1)
    """Jaccard similarity from which two texts are one: of the words of two queries, and of the runs of three
    words of two documents."""
    diversity: Literal["k_center", "mmr"] = "k_center"
    """In which order an agent's queries are opened: each the farthest from those before, or by relevance to
    the signal and distance alike (maximal marginal relevance)."""
    floors: FloorSettings = FloorSettings()
    relabel: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget, at most, for pairs that are labelled already, where asking again is worth more
    than a new label. Judges that would answer the same again are not asked."""
    credit: bool = False
    """Let an agent's share follow the estimated effect of its last labels on the gate: between half and
    twice `agents`."""
    per_query: int = Field(default=20, ge=1)  # pairs of one query in a sample, at most
    list_size: int = Field(default=1, ge=1)
    """Pairs that a query brings to a sample, at least, where it has them. With 1 a budget reaches the most
    queries; more gives training pairs of one query to compare (docs/results/signals.md)."""

    @field_validator("agents")
    @classmethod
    def _in_one_order(cls, agents: dict[AgentName, float]) -> dict[AgentName, float]:
        """Whatever the order of the config's keys: ties of quotas go by it."""
        return {name: agents[name] for name in AGENT_NAMES if name in agents}

    @model_validator(mode="after")
    def _somebody_mines(self) -> Self:
        if self.choice == "mined" and not any(self.agents.values()):
            raise ValueError("no agent has a share above 0; `choice: random` asks none of them")
        return self
