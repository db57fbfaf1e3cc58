"""An encoder that costs next to nothing, for benchmarks of all that stands around an encoder.

A text's vector is the mean of random vectors of its words, after a dropout: a text has its own, texts with
common words are alike, and passes differ. It understands nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

import torch

from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.compute import Compute
from serm.relevance_model.encoder import TextEncoder
from serm.relevance_model.head import OrdinalHead

WORDS: Final = 30_000
WIDTH: Final = 384  # as wide as MiniLM's


def _number(word: str) -> int:
    return 1 + zlib.crc32(word.encode()) % (WORDS - 1)


class WordVectors(torch.nn.Module):
    """As much of a SentenceTransformer as serm asks for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.nn.Parameter(torch.randn(WORDS, WIDTH, generator=generator), requires_grad=False)
        self.dropout = torch.nn.Dropout(0.1)
        self.tokenizer = SimpleNamespace(pad_token_id=0, get_vocab=lambda: {"words": WORDS})

    def get_embedding_dimension(self) -> int:
        return WIDTH

    def preprocess(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        rows = [[_number(word) for word in text.split()[:256]] or [0] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        lengths = torch.tensor([[len(row)] for row in rows])
        return {"input_ids": ids, "attention_mask": (torch.arange(longest) < lengths).long()}

    def forward(self, features: dict[str, Any]) -> dict[str, torch.Tensor]:
        words = features["input_ids"]
        there = (words > 0).float()[:, :, None]
        total = (self.dropout(self.table[words]) * there).sum(dim=1)
        return {"sentence_embedding": total / there.sum(dim=1).clamp(min=1)}


def stub_model(seed: int) -> BiEncoder:
    encoder = TextEncoder(WordVectors(seed), Compute("cpu", "float32"), max_length=256, batch_size=64)
    return BiEncoder(encoder, OrdinalHead(scale=10.0, thresholds=(0.2, 0.4, 0.6)))
