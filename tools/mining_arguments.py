"""What an agent may say to each of the miner's tools. Chat models read the descriptions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TOP = 1_000  # candidates where an agent does not say how many


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NoArguments(Arguments):
    pass


class UncertaintyArguments(Arguments):
    measure: Literal["entropy", "margin"] | None = Field(None, description="how uncertainty is measured")
    language: str | None = Field(None, description="only pairs in this language, as describe_window names it")
    stratum: Literal["head", "torso", "tail"] | None = Field(
        None, description="only pairs of queries that are this frequent"
    )
    top: int = Field(TOP, ge=1, description="how many candidates to keep, the most uncertain first")


class PoolArguments(Arguments):
    pool: int | None = Field(None, ge=1, description="pairs to judge repeatedly, the most uncertain first")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class NoveltyArguments(Arguments):
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class SkippedArguments(Arguments):
    high_score: float | None = Field(None, ge=0, le=3, description="model scores above this are high")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class DriftArguments(Arguments):
    level: float | None = Field(
        None,
        ge=0.001,
        lt=1,
        description="significance of all tests together; no laxer than the config's counts",
    )
    max_regions: int = Field(8, ge=1, le=8, description="regions to report, the most certain first")


class FeedbackArguments(Arguments):
    dwell_engaged: float | None = Field(None, gt=0, description="seconds from which a visit counts")
    low_score: float | None = Field(None, gt=0, le=3, description="model scores under this are low")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class ClickModelArguments(Arguments):
    click_probability: float | None = Field(None, gt=0, lt=1, description="attractiveness that counts")
    low_score: float | None = Field(None, gt=0, le=3, description="model scores under this are low")
    top: int = Field(TOP, ge=1, description="how many candidates to keep")


class NominateArguments(Arguments):
    candidates: str = Field(description="id of a candidate list, such as c1")
    count: int = Field(ge=1, description="how many of it to nominate, the best first")
    reason: str = Field(min_length=1, max_length=300, description="why these pairs are worth a label")


class FinishArguments(Arguments):
    reason: str = Field(min_length=1, max_length=300, description="why you stop here")
