"""Texts as batches of token tensors, each batch of one length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

STEP = 8  # tokens: lengths are rounded up to a multiple, chosen
FEWEST = 512
"""Tokens in a batch, at least. In smaller ones bfloat16 products take another path through the processor, and
the last bits of a text's vector would depend on the company it came in (tried with AMX: 256 were too few)."""

READ_AT_ONCE = 1024
"""Inputs in one call of the tokenizer, which spreads them over its threads; chosen: they are padded to the
longest of them for a moment."""
CHARACTERS_AT_ONCE = 4_000_000
"""Characters in one call, chosen: the tokenizer holds some hundred bytes for each of them."""
PER_TOKEN = 64
"""Characters that are read for each token that a network takes, chosen: a token has four or five. Tokenizers
read a text to its end before they cut it, seconds and gigabytes for a field that holds a whole book."""

Features = dict[str, Any]


def token_batches(
    model: Any, inputs: Sequence[Any], size: int, device: str, *, step: int = STEP, fewest: int = FEWEST
) -> Iterator[tuple[list[int], Features]]:
    """Positions in `inputs`, and what the model's forward takes for them, at most `size` rows at a time.

    `model`: a SentenceTransformer or CrossEncoder; `inputs`: texts, or pairs of texts. The rows of a batch
    are padded to one length, which depends on the text alone, and a small batch is filled up with rows
    behind those asked for: so a text gets the same vector, bit for bit, whatever it is encoded with.
    """
    padding = {"input_ids": getattr(model.tokenizer, "pad_token_id", None) or 0}
    end = getattr(model.tokenizer, "eos_token_id", None)
    rows = [
        _at_least_one(row, padding["input_ids"] if end is None else end) for row in _tokenized(model, inputs)
    ]
    lengths = [row["input_ids"].shape[1] for row in rows]
    for batch, length, fill in length_batches(lengths, size, step=step, fewest=fewest):
        yield batch, _stack([rows[number] for number in batch], length, fill, padding, device)


def _tokenized(model: Any, inputs: Sequence[Any]) -> Iterator[Features]:
    """What the model's forward takes for each input alone, (1, length), without padding."""
    left = getattr(model.tokenizer, "padding_side", "right") == "left"
    for some in _calls(_cut_to_what_counts(model, inputs)):
        features = model.preprocess(some)
        mask = features["attention_mask"]
        for row, length in enumerate(mask.sum(dim=1).long().tolist()):  # without any token it is of floats
            own = slice(mask.shape[1] - length, None) if left else slice(length)
            yield {
                name: value[row : row + 1, own] if isinstance(value, torch.Tensor) else value
                for name, value in features.items()
            }


def _calls(inputs: Iterable[Any]) -> Iterator[list[Any]]:
    """Inputs as the tokenizer gets them at a time."""
    some: list[Any] = []
    characters = 0
    for item in inputs:
        own = len(item) if isinstance(item, str) else sum(map(len, item))
        if some and (len(some) == READ_AT_ONCE or characters + own > CHARACTERS_AT_ONCE):
            yield some
            some, characters = [], 0
        some.append(item)
        characters += own
    if some:
        yield some


def _cut_to_what_counts(model: Any, inputs: Iterable[Any]) -> Iterator[Any]:
    """The inputs, texts or pairs, without what lies so far behind that the network never gets it."""
    tokens = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
    if not tokens:  # it takes texts of any length
        yield from inputs
        return
    from_end = getattr(model.tokenizer, "truncation_side", "right") == "left"
    for item in inputs:
        if isinstance(item, str):
            yield _cut(item, PER_TOKEN * tokens, from_end=from_end)
        else:
            yield tuple(_cut(text, PER_TOKEN * tokens, from_end=from_end) for text in item)


def _cut(text: str, limit: int, *, from_end: bool) -> str:
    """The first characters of a text, or its last: as many blanks, and as many after them, as `limit` says.
    Some tokenizers drop the blanks at a text's start, others make tokens of them."""
    if len(text) <= limit:
        return text
    if from_end:
        return _cut(text[::-1], limit, from_end=False)[::-1]
    blanks = len(text) - len(text.lstrip())
    return text[max(0, blanks - limit) : blanks + limit]


def _at_least_one(row: Features, token: int) -> Features:
    """A text of which the tokenizer makes nothing is read as one token, the end's where there is one: a
    network that may look at nothing can give NaN, and padding can be zeros, in which gradients explode."""
    if row["attention_mask"].shape[1]:
        return row
    values = {"input_ids": token, "attention_mask": 1}
    return {
        name: torch.full((1, 1), values.get(name, 0)) if isinstance(value, torch.Tensor) else value
        for name, value in row.items()
    }


def length_batches(
    lengths: Sequence[int], size: int, *, step: int = STEP, fewest: int = FEWEST
) -> Iterator[tuple[list[int], int, int]]:
    """Batches of inputs of so many tokens: positions in `lengths`, the length that all are padded to, and how
    many rows to fill up with."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, length in enumerate(lengths):
        by_length[-(-length // step) * step].append(number)
    for length in sorted(by_length):
        numbers = by_length[length]
        for start in range(0, len(numbers), size):
            batch = numbers[start : start + size]
            yield batch, length, max(0, -(-fewest // length) - len(batch))


def _stack(
    rows: Sequence[Features], length: int, fill: int, padding: dict[str, int], device: str
) -> Features:
    features: Features = {}
    for name, first in rows[0].items():
        if not isinstance(first, torch.Tensor):
            features[name] = first
            continue
        value = padding.get(name, 0)
        stacked = torch.cat(
            [
                torch.nn.functional.pad(row[name], (0, length - row[name].shape[1]), value=value)
                for row in rows
            ]
        )
        features[name] = torch.cat([stacked, stacked[:1].expand(fill, -1)]).to(device)
    return features
