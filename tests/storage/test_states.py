"""Hidden states on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serm.core.errors import StorageError
from serm.storage import states as module
from serm.storage.states import States, StateStore


def _texts(count: int, seed: int = 0) -> tuple[list[bytes], list[States]]:
    rng = np.random.default_rng(seed)
    hashes = [bytes([seed, number] * 8) for number in range(count)]
    return hashes, [rng.normal(size=(number % 4 + 1, 3)).astype(np.float16) for number in range(count)]


@pytest.mark.parametrize("on_disk", [True, False])
def test_states_come_back_as_they_were(tmp_path: Path, on_disk: bool) -> None:
    store = StateStore(tmp_path / "s" if on_disk else None, 10**6)
    hashes, states = _texts(9)
    store.put(hashes[:5], states[:5])
    store.put(hashes[5:], states[5:])
    found = store.get([*hashes[::-1], b"x" * 16])
    assert found[-1] is None
    for wanted, state in zip(states[::-1], found, strict=False):
        assert state is not None
        assert (state == wanted).all()


def test_another_store_on_the_folder_sees_them(tmp_path: Path) -> None:
    one, other = StateStore(tmp_path, 10**6), StateStore(tmp_path, 10**6)
    hashes, states = _texts(3)
    one.put(hashes, states)
    assert all(item is not None for item in other.get(hashes))
    assert all(item is not None for item in StateStore(tmp_path, 10**6).get(hashes))


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    hashes, states = _texts(6)
    limit = sum(item.nbytes for item in states[:3]) + 1
    store = StateStore(tmp_path, limit)
    store.put(hashes, states)
    assert [item is not None for item in store.get(hashes)] == [True] * 3 + [False] * 3
    more, their = _texts(6, seed=1)
    store.put(more, their)
    assert sum(item is not None for item in store.get(more)) == 0


def test_a_segment_without_its_index_is_not_seen(tmp_path: Path) -> None:
    hashes, states = _texts(3)
    StateStore(tmp_path, 10**6).put(hashes, states)
    next(tmp_path.glob("*.json")).unlink()
    assert StateStore(tmp_path, 10**6).get(hashes) == [None] * 3


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full", "")

    monkeypatch.setattr(module, "write_file", full)
    store = StateStore(tmp_path, 10**6)
    hashes, states = _texts(3)
    store.put(hashes, states)
    assert store.get(hashes) == [None] * 3
