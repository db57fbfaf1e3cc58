"""Hidden states on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serm.core.errors import StorageError
from serm.storage import room as room_module
from serm.storage import states as module
from serm.storage.room import Room, spare
from serm.storage.states import States, StateStore, open_states


@pytest.fixture(autouse=True)
def nothing_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """These stores are small: they work on a disk that is nearly full, too."""
    monkeypatch.setattr(room_module, "SPARE", 0)
    monkeypatch.setattr(room_module, "SPARE_SHARE", 0.0)


def _texts(count: int, seed: int = 0) -> tuple[list[bytes], list[States]]:
    rng = np.random.default_rng(seed)
    hashes = [bytes([seed, number] * 8) for number in range(count)]
    return hashes, [rng.normal(size=(number % 4 + 1, 3)).astype(np.float16) for number in range(count)]


def _store(root: Path) -> StateStore:
    """As another process would open it."""
    return StateStore(root / "key", Room(10**6, root))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("on_disk", [True, False])
def test_states_come_back_as_they_were(tmp_path: Path, on_disk: bool) -> None:
    store = open_states(tmp_path if on_disk else None, "key", 10**6)
    hashes, states = _texts(9)
    store.put(hashes[:5], states[:5])
    store.put(hashes[5:], states[5:])
    found = store.get([*hashes[::-1], b"x" * 16])
    assert found[-1] is None
    for wanted, state in zip(states[::-1], found, strict=False):
        assert state is not None
        assert (state == wanted).all()


def test_another_store_on_the_folder_sees_them(tmp_path: Path) -> None:
    one, other = _store(tmp_path), _store(tmp_path)
    hashes, states = _texts(3)
    one.put(hashes, states)
    assert all(item is not None for item in other.get(hashes))
    assert all(item is not None for item in _store(tmp_path).get(hashes))


def test_what_does_not_fit_is_not_kept(tmp_path: Path) -> None:
    hashes, states = _texts(6)
    limit = sum(item.nbytes for item in states[:3]) + 1
    store = open_states(tmp_path, "key", limit)
    store.put(hashes, states)
    assert [item is not None for item in store.get(hashes)] == [True] * 3 + [False] * 3
    more, their = _texts(6, seed=1)
    store.put(more, their)
    assert sum(item is not None for item in store.get(more)) == 0


def test_a_segment_without_its_index_is_not_seen(tmp_path: Path) -> None:
    hashes, states = _texts(3)
    _store(tmp_path).put(hashes, states)
    next(tmp_path.glob("key/*.json")).unlink()
    assert _store(tmp_path).get(hashes) == [None] * 3


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full", "")

    monkeypatch.setattr(module, "write_file", full)
    store = open_states(tmp_path, "key", 100)
    hashes, states = _texts(3)
    store.put(hashes, states)
    assert store.get(hashes) == [None] * 3
    assert store.room.take(100)


def test_a_segment_that_is_removed_or_cut_short_is_not_kept_any_more(tmp_path: Path) -> None:
    store = _store(tmp_path)
    hashes, states = _texts(6)
    store.put(hashes[:3], states[:3])
    first = next(tmp_path.glob("key/*.npy"))
    store.put(hashes[3:], states[3:])
    gone = [True] * 3 + [False] * 3
    first.write_bytes(first.read_bytes()[:-2])
    assert [item is None for item in store.get(hashes)] == gone
    first.unlink()
    assert [item is None for item in store.get(hashes)] == gone
    store.put(hashes[:3], states[:3])
    assert all(item is not None for item in store.get(hashes))


def test_no_segment_stays_open(tmp_path: Path) -> None:
    hashes, states = _texts(100)
    before = _open_files()
    store = open_states(tmp_path, "key", 10**6)
    for item, state in zip(hashes, states, strict=True):
        store.put([item], [state])
    kept = [store.get(hashes), _store(tmp_path).get(hashes)]
    assert _open_files() <= before + 3
    assert all(item is not None for found in kept for item in found)


def test_a_process_has_one_store_of_a_folder(tmp_path: Path) -> None:
    one = open_states(tmp_path, "key", 10**6)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert open_states(tmp_path / "link", "key", 10**6) is one
    assert open_states(tmp_path, "other", 10**6) is not one


def test_all_keys_of_a_folder_have_the_limit_together(tmp_path: Path) -> None:
    hashes, states = _texts(6)
    limit = sum(item.nbytes for item in states[:3])
    one, other = (open_states(tmp_path, key, limit) for key in ("one", "other"))
    one.put(hashes[:3], states[:3])
    other.put(hashes[3:], states[3:])
    assert all(item is None for item in other.get(hashes[3:]))
    shutil.rmtree(tmp_path / "one")  # pruned
    again = open_states(tmp_path, "other", limit)
    again.put(hashes[:3], states[:3])
    assert all(item is not None for item in again.get(hashes[:3]))


def test_what_a_disk_keeps_free_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, states = _texts(6)
    disk = SimpleNamespace(total=1_000, free=300 + sum(item.nbytes for item in states[:3]))
    monkeypatch.setattr(room_module, "SPARE", 300)
    monkeypatch.setattr(room_module.shutil, "disk_usage", lambda _: disk)
    store = open_states(tmp_path, "key", 10**6)
    store.put(hashes, states)
    assert [item is not None for item in store.get(hashes)] == [True] * 3 + [False] * 3
    disk.free = 300  # others have written, too
    store.put(hashes[3:], states[3:])
    assert all(item is None for item in store.get(hashes[3:]))
    disk.free = 1_000
    store.put(hashes[3:], states[3:])
    assert all(item is not None for item in store.get(hashes))


def test_a_disk_keeps_a_gib_or_a_share_free_and_a_small_one_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    gib = 2**30
    assert [spare(total * gib) / gib for total in (1, 10, 100)] == [0.5, 1.0, 5.0]
