"""A tiny random encoder, made once a session: no network, no package of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from serm.core.settings_loop import ModelSettings, TrainingSettings

TOPICS = 6
COLOURS = ("red", "blue", "green")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a SentenceTransformer of two layers and 32 dimensions."""
    folder = tmp_path_factory.mktemp("tiny")
    words = [f"{kind}{topic}" for kind in ("ask", "answer", "also") for topic in range(TOPICS)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *COLOURS, "the", "of", "##s", "-"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    model = SentenceTransformer(
        modules=[Transformer(str(folder / "bert")), Pooling(32), Normalize()], device="cpu"
    )
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture
def tiny(tiny_base: Path) -> ModelSettings:
    return ModelSettings(base=str(tiny_base), device="cpu", precision="float32", max_length=16, batch_size=8)


@pytest.fixture
def quick() -> TrainingSettings:
    """Settings under which the tiny encoder learns the toy set in about a second."""
    return TrainingSettings(
        epochs=40,
        learning_rate=3e-3,
        freeze_layers=0,
        average=0.0,
        queries_per_batch=4,
        documents_per_query=6,
    )


@pytest.fixture(scope="session")
def toy() -> pd.DataFrame:
    """Queries and documents on six topics. Grade 3: its answer; 1: a word beside it; 0: others' answers.

    A random encoder cannot know which words belong together, so what ranks well has learned it.
    """
    rng = np.random.default_rng(5)
    rows = []
    for topic in range(TOPICS):
        for number, colour in enumerate(COLOURS):
            query = f"{colour} ask{topic}"
            others = rng.choice([item for item in range(TOPICS) if item != topic], size=3, replace=False)
            documents = [
                (f"the answer{topic}", 3),
                (f"the also{topic}", 1),
                *((f"the answer{other}", 0) for other in others),
            ]
            for text, grade in documents:
                rows.append((f"q{topic}-{number}", f"d{text}", query, "", text, "en", grade))
    columns = ["query_id", "doc_id", "query", "title", "text", "language", "grade"]
    return pd.DataFrame(rows, columns=columns)
