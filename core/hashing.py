"""Content hashes: the names of everything serm computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

HASH_LENGTH = 16
"""Hex digits kept: 64 bits, so a collision among a million artefacts has a chance of 3e-8."""


def digest(value: object) -> str:
    """Hash of any JSON-serialisable value; dictionaries are order-free, floats are exact."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_LENGTH]


def digest_texts(texts: Iterable[str]) -> str:
    """Hash of a sequence of texts; length-prefixed, so that ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.sha256()
    for text in texts:
        data = text.encode()
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:HASH_LENGTH]


def query_bucket(query_id: str, modulus: int) -> int:
    """`int(sha256(query_id)[:8], 16) % modulus`: the split rule of the protocols."""
    return int(hashlib.sha256(query_id.encode()).hexdigest()[:8], 16) % modulus


def unit_interval(*parts: object) -> float:
    """A number in [0, 1) drawn from the hash of `parts`: random to the eye, the same for ever."""
    text = "\x1f".join(str(part) for part in parts)
    return int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13
