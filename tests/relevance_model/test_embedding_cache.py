from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from serm.core.errors import StorageError
from serm.storage.embeddings import EmbeddingCache, text_hash


def _vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def _hashes(count: int, prefix: str = "t") -> list[bytes]:
    return [text_hash(f"{prefix}{number}") for number in range(count)]


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "disk" else None


def test_what_was_put_is_found_and_the_rest_is_not(folder: Path | None) -> None:
    cache = EmbeddingCache(folder, "k", 4, "float32")
    vectors = _vectors(3)
    cache.put(_hashes(3), vectors)
    known, found = cache.get([text_hash("t2"), text_hash("other"), text_hash("t0")])
    assert known.tolist() == [True, False, True]
    assert (found[[0, 2]] == vectors[[2, 0]]).all()
    assert (found[1] == 0).all()


def test_a_known_text_keeps_its_first_vector_and_a_double_counts_once(folder: Path | None) -> None:
    cache = EmbeddingCache(folder, "k", 4, "float32")
    cache.put(_hashes(2), _vectors(2))
    cache.put([*_hashes(3), _hashes(3)[2]], _vectors(4, seed=1))
    assert len(cache) == 3
    assert (cache.get(_hashes(2))[1] == _vectors(2)).all()


def test_vectors_outlive_the_process_and_keys_keep_apart(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "one", 4).put(_hashes(3), _vectors(3))
    again = EmbeddingCache(tmp_path, "one", 4)
    assert again.get(_hashes(3))[0].all()
    np.testing.assert_allclose(again.get(_hashes(3))[1], _vectors(3), atol=2e-3)  # kept as float16
    assert not EmbeddingCache(tmp_path, "two", 4).get(_hashes(3))[0].any()


def test_one_cache_sees_what_another_one_of_the_key_puts(tmp_path: Path) -> None:
    first, second = EmbeddingCache(tmp_path, "k", 4, "float32"), EmbeddingCache(tmp_path, "k", 4, "float32")
    first.put(_hashes(2, "a"), _vectors(2))
    second.put(_hashes(2, "b"), _vectors(2, seed=1))
    first.put(_hashes(2, "c"), _vectors(2, seed=2))
    for cache in (first, second):
        assert (cache.get(_hashes(2, "a"))[1] == _vectors(2)).all()
        assert (cache.get(_hashes(2, "b"))[1] == _vectors(2, seed=1)).all()
        assert (cache.get(_hashes(2, "c"))[1] == _vectors(2, seed=2)).all()


@pytest.mark.parametrize("name", ["index.bin", "vectors.bin"])
def test_a_put_that_was_cut_anywhere_is_as_if_it_had_not_been(tmp_path: Path, name: str) -> None:
    cache = EmbeddingCache(tmp_path, "k", 4, "float32")
    cache.put(_hashes(2, "a"), _vectors(2))
    whole = (tmp_path / "k" / name).stat().st_size
    cache.put(_hashes(3, "b"), _vectors(3, seed=1))
    content = (tmp_path / "k" / name).read_bytes()
    for length in range(whole, len(content)):
        (tmp_path / "k" / name).write_bytes(content[:length])
        cut = EmbeddingCache(tmp_path, "k", 4, "float32")
        assert len(cut) == 2
        assert (cut.get(_hashes(2, "a"))[1] == _vectors(2)).all()
    cut.put(_hashes(3, "c"), _vectors(3, seed=2))
    healed = EmbeddingCache(tmp_path, "k", 4, "float32")
    assert len(healed) == 5
    assert (healed.get(_hashes(3, "c"))[1] == _vectors(3, seed=2)).all()


def test_vectors_that_somebody_removed_are_made_again(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "k", 4, "float32").put(_hashes(3), _vectors(3))
    (tmp_path / "k" / "vectors.bin").unlink()
    cache = EmbeddingCache(tmp_path, "k", 4, "float32")
    assert not cache.known(_hashes(3)).any()
    cache.put(_hashes(2), _vectors(2, seed=1))
    again = EmbeddingCache(tmp_path, "k", 4, "float32")
    assert again.known(_hashes(3)).tolist() == [True, True, False]
    assert (again.get(_hashes(2))[1] == _vectors(2, seed=1)).all()


@pytest.mark.parametrize("others", [0, 2, 5])
def test_a_folder_that_is_removed_under_an_open_cache_leaves_nothing_known(
    tmp_path: Path, others: int
) -> None:
    """To free the disk, say; before this cache looks again another process may have begun it anew."""
    cache = EmbeddingCache(tmp_path, "k", 4, "float32")
    cache.put(_hashes(3), _vectors(3))
    shutil.rmtree(tmp_path / "k")
    if others:
        EmbeddingCache(tmp_path, "k", 4, "float32").put(_hashes(others, "o"), _vectors(others, seed=2))
    else:
        assert not cache.known(_hashes(3)).any()
    cache.put(_hashes(2, "n"), _vectors(2, seed=1))
    for look in (cache, EmbeddingCache(tmp_path, "k", 4, "float32")):
        assert not look.known(_hashes(3)).any()
        assert (look.get(_hashes(2, "n"))[1] == _vectors(2, seed=1)).all()
        assert (look.get(_hashes(others, "o"))[1] == _vectors(others, seed=2)).all()


def test_vectors_that_go_between_two_looks_are_no_zeros(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, "k", 4, "float32")
    cache.put(_hashes(3), _vectors(3))
    assert (cache.vectors(_hashes(3)) == _vectors(3)).all()
    shutil.rmtree(tmp_path / "k")
    with pytest.raises(StorageError, match=r"removed while it was in use\. Give the command again"):
        cache.vectors(_hashes(3))


def _fill(folder: Path) -> None:
    cache = EmbeddingCache(folder, "k", 4, "float32")
    for number in range(100_000):
        cache.put(_hashes(50, f"{number}-"), np.full((50, 4), number, dtype=np.float32))


def test_a_kill_at_any_moment_loses_no_whole_put_and_keeps_no_half_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for wait in (0.05, 0.11, 0.2):
        child = context.Process(target=_fill, args=(tmp_path,))
        child.start()
        child.join(wait)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        cache = EmbeddingCache(tmp_path, "k", 4, "float32")
        assert len(cache) % 50 == 0
        for number in range(len(cache) // 50):
            known, vectors = cache.get(_hashes(50, f"{number}-"))
            assert known.all()
            assert (vectors == number).all()
    assert len(cache) > 0


def test_a_read_only_folder_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EmbeddingCache(tmp_path, "k", 4)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="read-only"):
        cache.put(_hashes(1), _vectors(1))
