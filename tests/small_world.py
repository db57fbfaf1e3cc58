"""A world small enough for a test: a tiny encoder, a few hundred pairs, three windows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from serm.core import Settings
    from serm.relevance_model.registry import ModelRegistry

TOPICS = ("lamp", "chair", "phone", "shoe", "clock", "bottle", "carpet", "violin")
COLOURS = ("red", "blue", "green", "black", "white", "golden")
FILLERS = ("with", "for", "the", "home", "new", "fine", "small", "large", "cheap", "strong")
MONTHS = ("2024-01-10", "2024-02-10", "2024-03-10", "2024-04-10")
"""The seed's, then those of three windows."""
MLFLOW = "mlflow.db"


def write_tiny_encoder(folder: Path) -> Path:
    """A sentence-transformers model of random weights that knows the words of this world.

    Beside it lies an empty MLflow database, because MLflow takes six seconds to make one.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from serm.relevance_model.registry import ModelRegistry

    torch.manual_seed(0)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TOPICS, *COLOURS, *FILLERS]
    (raw / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(raw / "vocab.txt"), model_max_length=32).save_pretrained(raw)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    ).save_pretrained(raw)
    body = Transformer(str(raw), max_seq_length=32)
    model = SentenceTransformer(
        modules=[body, Pooling(body.get_embedding_dimension(), "mean"), Normalize()], device="cpu"
    )
    model.save(str(folder / "encoder"))
    ModelRegistry(f"sqlite:///{folder / MLFLOW}")
    return folder / "encoder"


def make_pairs(queries_per_month: int = 20, candidates: int = 8, seed: int = 0) -> pd.DataFrame:
    """Queries `colour topic`; a document with both is 3, the topic alone 2, the colour alone 1, else 0."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for month, date in enumerate(MONTHS):
        for number in range(queries_per_month):
            colour, topic = rng.choice(COLOURS), rng.choice(TOPICS)
            for candidate in range(candidates):
                its_colour = colour if candidate % 4 in (0, 1) else rng.choice(COLOURS)
                its_topic = topic if candidate % 4 in (0, 2) else rng.choice(TOPICS)
                grade = 2 * int(its_topic == topic) + int(its_colour == colour)
                filler = " ".join(rng.choice(FILLERS, 4))
                shown = float(rng.integers(1, 20))
                rows.append(
                    {
                        "query_id": f"q{month}-{number}",
                        "query": f"{colour} {topic}",
                        "doc_id": f"d{month}-{number}-{candidate}",
                        "title": f"{its_colour} {its_topic}",
                        "text": filler,
                        "grade": grade,
                        "language": "en" if number % 2 else "de",
                        "timestamp": pd.Timestamp(date),
                        "impressions": shown,
                        "clicks": float(rng.binomial(int(shown), 0.1 + 0.2 * grade)),
                        "dwell_seconds": 10.0 + 20.0 * grade,
                        "position": float(candidate + 1),
                    }
                )
    return pd.DataFrame(rows)


def distinct_pairs(queries_per_month: int = 20) -> pd.DataFrame:
    """The same, no two queries of one text: else much reads like the gate, and is neither learned from nor
    mined."""
    pairs = make_pairs(queries_per_month)
    return pairs.assign(query=pairs["query"] + " " + pairs["query_id"])


def world(folder: Path, encoder: Path, pairs: pd.DataFrame | None = None, **sections: Any) -> dict[str, Any]:
    """A config mapping over a file of pairs in `folder`; `sections` replace or extend its sections."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MLFLOW).exists():
        shutil.copyfile(encoder.parent / MLFLOW, folder / MLFLOW)
    (distinct_pairs() if pairs is None else pairs).to_parquet(folder / "pairs.parquet", index=False)
    judge = "simulated:accuracy=0.9,shared=0.5,seed=3"
    config: dict[str, Any] = {
        "workspace": "workspace",
        "random_seed": 5,
        "data": {
            "sources": [{"name": "shop", "pairs": "pairs.parquet"}],
            "sets": [
                {"set": "gate", "when": {"buckets": {"modulus": 5, "values": [0]}}},
                {"set": "test", "when": {"buckets": {"modulus": 5, "values": [1]}}},
                {"set": "seed", "when": {"before": "2024-02-01T00:00:00"}},
                {"set": "stream"},
            ],
            "windows": {
                "rules": [
                    {
                        "name": f"m{month}",
                        "when": {"after": f"2024-0{month}-01", "before": f"2024-0{month + 1}-01"},
                    }
                    for month in (2, 3, 4)
                ]
            },
            "seed_gate": {"before": "2024-02-01T00:00:00"},
            "tests": [
                {"name": "early", "role": "static", "when": {"before": "2024-03-01T00:00:00"}},
                {"name": "late", "role": "last", "when": {"after": "2024-04-01T00:00:00"}},
            ],
        },
        "model": {"base": str(encoder), "max_length": 32, "device": "cpu", "precision": "float32"},
        "judges": [{"backend": judge, "name": name} for name in ("ann", "bob", "cid")],
        "budget": {"pairs_per_round": 40},
        "training": {
            "epochs": 1,
            "seed_epochs": 1,
            "freeze_layers": 0,
            "average": 0.0,
            "learning_rate": 1e-3,
        },
        "miner": {"passes": 2, "pool": 60},
        "gate": {"resamples": 200},
        "evaluation": {"resamples": 200},
        "llm": {"shard": 15},
        "storage": {"mlflow": f"sqlite:///{folder / MLFLOW}"},
    }
    return config | sections


def registry_of(settings: Settings) -> ModelRegistry:
    """The registry as the workspace of these settings has it."""
    from serm.relevance_model.registry import ModelRegistry
    from serm.storage.workspace import Workspace

    workspace = Workspace.read(settings.workspace_path, settings)
    return ModelRegistry(workspace.mlflow_uri, workspace.registered_as)
