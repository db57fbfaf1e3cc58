"""Texts are tokenized many at a time, and each as if it were alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from serm.relevance_model import tokens
from serm.relevance_model.tokens import token_batches

TEXTS = [
    "ask0",
    "",
    "answer1 of the red",
    "ask2 answer2 also2 - blue",
    "the",
    "ask1 of the green also1 ask3",
    "x",
]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("at_once", [1, 3, len(TEXTS), 100])
def test_a_text_has_the_tokens_that_it_has_alone(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch, side: str, at_once: int
) -> None:
    model = SentenceTransformer(str(tiny_base), device="cpu")
    model.tokenizer.padding_side = side
    monkeypatch.setattr(tokens, "READ_AT_ONCE", at_once)
    seen: dict[int, torch.Tensor] = {}
    for numbers, features in token_batches(model, TEXTS, 2, "cpu", fewest=1):
        for row, number in enumerate(numbers):
            own = features["attention_mask"][row].bool()
            seen[number] = features["input_ids"][row][own]
    assert sorted(seen) == list(range(len(TEXTS)))
    for number, text in enumerate(TEXTS):
        assert seen[number].tolist() == model.preprocess([text])["input_ids"][0].tolist()


def test_no_texts_are_no_batches(tiny_base: Path) -> None:
    model = SentenceTransformer(str(tiny_base), device="cpu")
    assert list(token_batches(model, [], 2, "cpu")) == []
