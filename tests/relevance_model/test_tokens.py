"""Texts are tokenized many at a time, and each as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

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


class _Watched:
    """A model that notes what its tokenizer gets."""

    def __init__(self, model: Any) -> None:
        self.model, self.tokenizer, self.max_seq_length = model, model.tokenizer, model.max_seq_length
        self.calls: list[list[Any]] = []

    def preprocess(self, inputs: list[Any]) -> Any:
        self.calls.append(inputs)
        return self.model.preprocess(inputs)


def _first_tokens(model: Any, inputs: list[Any]) -> list[int]:
    ((_, features),) = token_batches(model, inputs, 1, "cpu", fewest=1)
    return features["input_ids"][0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("blanks", ["", " " * 5_000])
def test_of_a_book_no_more_is_tokenized_than_can_count(tiny_base: Path, side: str, blanks: str) -> None:
    model = SentenceTransformer(str(tiny_base), device="cpu")
    model.max_seq_length = 16
    model.tokenizer.truncation_side = side
    book = "red ask1 of the answer2 " * 2_000
    book = book + blanks if side == "left" else blanks + book
    watched = _Watched(model)
    expected = model.preprocess([book])["input_ids"][0].tolist()
    assert _first_tokens(watched, [book]) == expected
    assert len(expected) == 16
    assert len(watched.calls[0][0]) <= 2 * 16 * tokens.PER_TOKEN


def test_both_texts_of_a_pair_are_cut(tiny_base: Path) -> None:
    model = CrossEncoder(str(tiny_base), device="cpu", num_labels=4)
    model.max_length = 16
    watched = _Watched(model)
    watched.max_seq_length = 16
    pair = ("red ask1", "the answer2 " * 500)
    assert _first_tokens(watched, [pair]) == model.preprocess([pair])["input_ids"][0].tolist()
    _first_tokens(watched, [pair[::-1]])
    cut = 16 * tokens.PER_TOKEN
    assert [[len(text) for text in call[0]] for call in watched.calls] == [[8, cut], [cut, 8]]


def test_long_texts_go_to_the_tokenizer_a_few_at_a_time(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CHARACTERS_AT_ONCE", 100)
    watched = _Watched(SentenceTransformer(str(tiny_base), device="cpu"))
    texts = ["x" * 60, "y" * 60, "z" * 30, "red", "a" * 300, "b" * 10]
    assert len(list(token_batches(watched, texts, 8, "cpu", fewest=1))) > 0
    assert [[len(text) for text in call] for call in watched.calls] == [[60], [60, 30, 3], [300], [10]]


def test_no_texts_are_no_batches(tiny_base: Path) -> None:
    model = SentenceTransformer(str(tiny_base), device="cpu")
    assert list(token_batches(model, [], 2, "cpu")) == []
