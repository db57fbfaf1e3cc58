"""What the tests of `serm annotate` against a real server share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from chat_stub import ChatStub, Say

WORDS = [f"w{number}" for number in range(400)]


def write_pairs(folder: Path, count: int) -> Path:
    """`count` pairs; pair n has the document [wn]."""
    path = folder / "pairs.csv"
    rows = [(f"q{n // 4}", f"some query {n // 4}", f"d{n}", f"[{WORDS[n]}]") for n in range(count)]
    pd.DataFrame(rows, columns=["query_id", "query", "doc_id", "text"]).to_csv(path, index=False)
    return path


def write_config(folder: Path, stub: ChatStub, *models: str, **sections: Any) -> Path:
    """Judges behind the stub, one a model."""
    path = folder / "judges.yaml"
    llm = {"timeout": 5, "retries": 0, "concurrency": 4, "shard": 20, **sections.pop("llm", {})}
    values = {"judges": [f"{stub.url}#{model}" for model in models], "llm": llm, **sections}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def word(body: dict[str, Any]) -> str:
    """The word of the pair that a request is about; "" where it is about none (a proof)."""
    found = re.findall(r"\[(w\d+)\]", body["messages"][-1]["content"])
    return found[0] if found else ""


def number(body: dict[str, Any]) -> int:
    return int(word(body)[1:] or 0)


def say(grade: int, reason: str = "because") -> Say:
    return Say(json.dumps({"grade": grade, "reason": reason}))


def asked(stub: ChatStub, model: str | None = None) -> list[str]:
    """The words of all requests about pairs, in the order of asking."""
    with stub.lock:
        return [word(body) for body in stub.bodies if word(body) and model in (None, body["model"])]
