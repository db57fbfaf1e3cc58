"""What the runs of a protocol might have measured: results of known gains for tests of tables and pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from serm.benchmarks.arms import Results
from serm.benchmarks.carrying import EVOLVING
from serm.benchmarks.protocol import Protocol
from serm.benchmarks.runs import runs_of

ROLES = {"untrained": 0.4, "frozen": 0.5, "champion": 0.5}
QUERIES = 60
GAINS = {"ours": 0.2, "random": 0.1, "third": 0.2, "fourth": 0.2}
ARMS = ("ours", "random")


def made_up(
    folder: Path, *, marketplace: bool, folds: tuple[str, ...] = ("",), arms: tuple[str, ...] = ARMS
) -> Results:
    """Three seeds, two rounds. Frozen has .3 less on `last` than on `static`; arms mend some of it."""
    protocol = Protocol.model_validate(
        {
            "name": "made up",
            **({"marketplace": {}} if marketplace else {"config": "serm.yaml"}),
            "baseline": "random",
            "seeds": [1, 2, 3],
            "arms": {arm: {} for arm in arms},
            "folds": {fold: {} for fold in folds},
        }
    )
    runs = runs_of(folder, arms, [1, 2, 3], folds)
    rows = []
    for run in runs:
        for number in (0, 1, 2):
            report = {"round": number, "static_test": "static", "last_test": "last", "trace_id": f"t{number}"}
            judging = {"judgments": 150, "tokens_in": 10, "tokens_out": 1, "cost": 0.5}
            report["counts"] = {"mined": 50, "labelled": 40, "judging": judging, "gate": {"judgments": 7}}
            report["label_accuracy"] = {"pairs": 10, "accuracy": 0.75}
            report |= {
                "verdict": "promoted",
                "seconds": 60.0,
                "decision": {"reasons": ["ahead of the margin"]},
            }
            report["window"] = {"name": f"window-{number}"}
            place = run.folder / "workspace" / "rounds" / f"{number:03d}"
            place.mkdir(parents=True)
            (place / "round.json").write_text(json.dumps(report), encoding="utf-8")
            for name, lower in (("static", 0.0), ("window-1", 0.4), ("last", 0.3), (EVOLVING, 0.15)):
                if name == EVOLVING and number == 2:
                    continue
                rng = np.random.default_rng([run.seed, len(name)] if marketplace else [len(name)])
                noise = rng.normal(0, 0.05, QUERIES)
                world = f"{run.seed}-" if marketplace else ""
                for role, level in ROLES.items():
                    gain = GAINS[run.arm] * number / 2 if role == "champion" and name != "static" else 0.0
                    fold = "" if name == EVOLVING else run.fold
                    place_of = (run.arm, run.seed, run.fold, number, f"window-{number}", name, role)
                    rows += [
                        (*place_of, f"{fold}{world}{query}", level - lower + gain + noise[query])
                        for query in range(QUERIES)
                    ]
    columns = ["arm", "seed", "fold", "round", "window", "set", "role", "query_id", "ndcg@4"]
    results = Results(protocol, pd.DataFrame(rows, columns=columns), runs)
    facts = results.table.drop_duplicates(["set", "seed", "query_id"]).copy()
    number = facts["query_id"].str.extract(r"(\d+)$")[0].astype(int)
    facts["language"] = np.where(number % 3 == 0, "de", "en")
    facts["stratum"] = np.where(number % 2 == 0, "head", "tail")
    results.__dict__["facts"] = facts.set_index(["set", "seed", "query_id"])[["language", "stratum"]]
    return results
