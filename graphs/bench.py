"""The panel at work on one sample: who judges what, who has said what, who is to be asked next.

All of it is read from the store and from what the state names, so that a node that runs again finds the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from serm.agents.calibration import Learned, choose_gold
from serm.agents.chair import NAME, ChairReport
from serm.agents.debate import DebateJudge, is_debater
from serm.agents.inquiry import Inquiry, Juries, Said, inquire, keys_of, votes_of
from serm.agents.jury import Jury
from serm.agents.panel import Panel
from serm.agents.policy import decider
from serm.agents.settling import settle
from serm.core.columns import KEY
from serm.core.hashing import digest, digest_texts
from serm.core.records import Label, Outcome, PairKey
from serm.core.settings_loop import AgreementSettings
from serm.graphs.fallen import Mark, mark_of, not_for, sound_name
from serm.graphs.panel_resources import PanelResources
from serm.storage.judgments import JudgmentStore
from serm.storage.reading import read_frame, read_json
from serm.tools.peer_vote import usable

State = Mapping[str, Any]
LABELS, ANNOTATION, LEARNED = "labels.parquet", "annotation.json", "reliability.json"
_TEXTS = ("query", "title", "text", "language")


@dataclass(frozen=True, slots=True)
class Debate:
    """The pairs that the panel dropped, what was said of them, and who can be talked with."""

    frame: pd.DataFrame
    said: Said
    judges: Mapping[str, DebateJudge]  # by the name of the judge
    rows: Mapping[str, pd.DataFrame]  # of each judge the pairs that it debates: those that it has graded


@dataclass(frozen=True, slots=True)
class Chaired:
    """How a vote was held."""

    rules: tuple[
        str, ...
    ] = ()  # of the votes that were handed in: the config's, or a stricter one of a chair
    fell_back: Mapping[str, Mark] = field(default_factory=dict)  # the chair, where rules voted in its place


class Bench:
    def __init__(self, resources: PanelResources) -> None:
        self._ = resources
        self.chaired = Chaired()
        """Of the vote that was held last."""

    @property
    def agreement(self) -> AgreementSettings:
        return self._.settings.agreement

    @property
    def store(self) -> JudgmentStore:
        return self._.judgments

    def panel(self, state: State) -> Panel:
        return self._.panel(state["round"])

    def frame(self, state: State) -> pd.DataFrame:
        """The pairs to label."""
        return self._.sample(state["sample"])

    # -- calibration

    def gold(self, state: State) -> pd.DataFrame:
        """The human-graded pairs that the panel grades: of sources that the sample's judges judge."""
        return self._.once(("gold", state["round"], state["sample"]), lambda: self._choose_gold(state))

    def _choose_gold(self, state: State) -> pd.DataFrame:
        graded, panel = self._.human_graded(state["round"]), self.panel(state)
        wanted = {judges for judges, _ in panel.groups(self.frame(state)) if judges}
        rows = [group for judges, group in panel.groups(graded) if judges in wanted]
        found = pd.concat(rows) if rows else graded.iloc[:0]
        return choose_gold(found, self.agreement.calibration, self._.settings.random_seed)

    def gold_name(self, state: State) -> str:
        """Hash of the chosen pairs, texts and grades; "" where there are none."""
        gold = self.gold(state)
        columns = [name for name in (*KEY, *_TEXTS, "grade") if name in gold]
        return digest_texts(text for name in columns for text in gold[name].astype(str)) if len(gold) else ""

    def gold_inquiry(self, state: State, wave: int) -> Inquiry:
        """What was said of the chosen pairs: all judges are asked of all, in one wave."""
        panel, gold = self.panel(state), self.gold(state)
        all_votes = self.agreement.model_copy(update={"early_stop": False})
        juries = {judges: Jury(judges, all_votes) for judges, _ in panel.groups(gold)}
        key = ("gold inquiry", state["round"], state["gold"], wave)
        return self._.once(key, lambda: inquire(panel, juries, gold, self.store, wave))

    # -- judging

    def learned(self, state: State) -> list[Learned]:
        """What was learned of the sample's juries; [] under rules that need nothing."""
        found = self.reliability(state)["juries"] if state["reliability"] else []
        return [Learned.from_json(item) for item in found]

    def reliability(self, state: State) -> dict[str, Any]:
        """What calibration left: `juries`, what was learned of each, and `calibration`, what it took."""
        file = self._.workspace.reliability / state["reliability"] / LEARNED
        found: dict[str, Any] = read_json(file)
        return found

    def juries(self, state: State) -> Juries:
        key = ("juries", state["round"], state["sample"], state["reliability"])
        return self._.once(key, lambda: {jury.judges: jury for jury in self._make_juries(state)})

    def _make_juries(self, state: State) -> Iterator[Jury]:
        panel, learned = self.panel(state), {item.judges: item for item in self.learned(state)}
        chaired_by_a_model = decider(self._.settings, NAME) is not None
        for judges, _ in panel.groups(self.frame(state)):
            agreement, model = self.agreement, None
            if found := learned.get(judges):
                agreement, model = agreement.model_copy(update={"rule": found.rule}), found.model
            names = usable(model)
            rules = names[: names.index(agreement.rule) + 1] if chaired_by_a_model else ()
            yield Jury(judges, agreement, model, remote=panel.remote, rules=rules)

    def waves(self, state: State) -> int:
        return max((len(jury.waves) for jury in self.juries(state).values()), default=0)

    def inquiry(self, state: State, wave: int) -> Inquiry:
        """What stands before a wave; before one past the last: at the end."""
        key = (
            "inquiry",
            state["round"],
            state["sample"],
            state["reliability"],
            wave,
            state.get("closed", ""),
        )
        return self._.once(
            key, lambda: inquire(self.panel(state), self.juries(state), self.frame(state), self.store, wave)
        )

    def said(self, state: State) -> Said:
        """All that was said of the sample."""
        return self.inquiry(state, self.waves(state)).said

    def settle(self, state: State, frame: pd.DataFrame, said: Said) -> list[Label]:
        """The chair's labels of a frame; where the money is gone its rules decide, not its model."""
        settings = self._.settings
        decide = None if state.get("closed") else decider(settings, NAME, self._.purse)
        rules: dict[str, None] = {}
        fell_back: dict[str, Mark] = {}

        def told(jury: Jury, report: ChairReport) -> None:
            stricter = (
                report.rule != jury.agreement.rule
            )  # else it is what the config's came to for this jury
            rules[report.rule if stricter else self.agreement.rule] = None
            if decide is not None and report.outcome.fell_back:
                fell_back[NAME] = {"model": decide.label, **mark_of(state, report.outcome.reason)}

        steps = settings.agents.max_steps
        labels = settle(
            self.panel(state), self.juries(state), frame, said, decide, max_steps=steps, told=told
        )
        self.chaired = Chaired(tuple(rules), fell_back)
        return labels

    def labels_name(self, state: State, said: Said, *parts: object) -> str:
        """Hash of what labels are made from: the sample, the rule, the votes, the model that chairs where one
        does. Labels that rules made in its place, for others than this round, are passed over."""
        rule = self.agreement.model_dump(mode="json")
        votes = [[*key, votes_of(judgments)] for key, judgments in said.items()]
        chair = self._chair(state)
        name = digest([state["sample"], rule, state["reliability"], votes, *parts, *chair])
        return sound_name(name, lambda name: not_for(state, self.told_of(name).get("fell_back", {})))

    def _chair(self, state: State) -> list[object]:
        """What decides beside the rule: nothing where no model chairs, and the name is as it always was."""
        settings = self._.settings
        if state.get("closed") or decider(settings, NAME) is None:
            return []
        agents = settings.identity()["agents"]  # without a login
        return [agents["llm"], agents["max_steps"]]

    def told_of(self, labels: str) -> dict[str, Any]:
        """annotation.json of labels; {} where they are not there."""
        file = self._.workspace.labels / labels / ANNOTATION
        return read_json(file) if file.is_file() else {}

    # -- debate

    def debate(self, state: State) -> Debate:
        """About the pairs that the labels of the state say were dropped."""
        return self._.once(("debate", state["labels"]), lambda: self._open_debate(state))

    def _open_debate(self, state: State) -> Debate:
        file = self._.workspace.labels / state["labels"] / LABELS
        labels = read_frame(file, [*KEY, "outcome"])
        dropped = labels[labels["outcome"] == Outcome.DROPPED.value]
        frame, said = _those(self.frame(state), set(keys_of(dropped))), self.said(state)
        disputed = {key: said[key] for key in keys_of(frame)}
        judges = {
            name: DebateJudge(member.judge, disputed)
            for name, member in self.panel(state).members.items()
            if is_debater(member.judge)
        }
        graded: dict[str, set[PairKey]] = {name: set() for name in judges}
        for key, judgments in disputed.items():
            for judgment in judgments:
                if judgment.grade is not None and judgment.judge in graded:
                    graded[judgment.judge].add(key)
        rows = {name: _those(frame, keys) for name, keys in graded.items()}
        return Debate(frame, disputed, judges, rows)


def _those(frame: pd.DataFrame, keys: Collection[PairKey]) -> pd.DataFrame:
    """The rows of these pairs."""
    return frame[np.fromiter((key in keys for key in keys_of(frame)), dtype=bool)]
