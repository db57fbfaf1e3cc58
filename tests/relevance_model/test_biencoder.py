from __future__ import annotations

import filecmp
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.base import expected_grade
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.head import OrdinalHead
from serm.relevance_model.loading import load_model, open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.shards import Reader

QUERIES = ["red ask1", "red ask1", "blue ask2", "ask3"]
DOCUMENTS = ["the answer1", "the answer2 of red", "the answer2", "the answer1"]
PAIRS = CodedPairs.of(QUERIES, DOCUMENTS)


def _biencoder(settings: ModelSettings, cache: Path | None = None) -> BiEncoder:
    model = open_base(settings, cache)
    assert isinstance(model, BiEncoder)
    return model


def _encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that an encoder really encodes from now on."""
    texts: list[str] = []
    plain = Reader.__call__

    def watched(self: Reader, batch: list[str]) -> object:
        texts.extend(batch)
        return plain(self, batch)

    monkeypatch.setattr(Reader, "__call__", watched)
    return texts


def test_scores_come_a_row_a_pair_with_probabilities_and_expected_grades(tiny: ModelSettings) -> None:
    scores = _biencoder(tiny).score(QUERIES, DOCUMENTS)
    assert scores.probabilities.shape == (4, 4)
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores.expected, scores.probabilities @ np.arange(4), atol=1e-5)


def test_no_pair_at_all_gives_empty_scores(tiny: ModelSettings) -> None:
    model = _biencoder(tiny)
    assert model.score([], []).probabilities.shape == (0, 4)
    assert model.stochastic(CodedPairs.of([], []), passes=3, seed=1).shape == (3, 0, 4)
    assert model.embed_queries([]).shape == (0, 32)


def test_lists_of_different_length_are_refused(tiny: ModelSettings) -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        _biencoder(tiny).score(["red ask1"], [])


def test_each_distinct_text_is_encoded_once_and_never_again_by_the_same_weights(
    tiny: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = _encoded(monkeypatch)
    first = _biencoder(tiny, tmp_path).score(QUERIES, DOCUMENTS)
    assert sorted(texts) == sorted({*QUERIES, *DOCUMENTS})
    texts.clear()
    second = _biencoder(tiny, tmp_path).score(QUERIES[::-1], DOCUMENTS[::-1])  # another process would do this
    assert texts == []
    assert (second.expected[::-1] == first.expected).all()


def test_another_length_limit_does_not_take_vectors_of_the_first(tiny: ModelSettings, tmp_path: Path) -> None:
    text = ["the answer1 of red - the also2 of blue"]
    long = _biencoder(tiny, tmp_path).embed_documents(text)
    short = _biencoder(tiny.model_copy(update={"max_length": 8}), tmp_path).embed_documents(text)
    assert not np.allclose(long, short)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_text_has_the_same_vector_whatever_it_is_encoded_with(tiny: ModelSettings, precision: str) -> None:
    settings = tiny.model_copy(update={"precision": precision})
    texts = [f"{colour} ask{topic}" for colour in ("red", "blue", "the answer1 of") for topic in range(6)]
    together = _biencoder(settings).embed_queries(texts)
    apart = np.concatenate([_biencoder(settings).embed_queries([text]) for text in texts[:4]])
    assert (together[:4] == apart).all()


def test_embeddings_are_unit_vectors_and_their_product_is_the_cosine(tiny: ModelSettings) -> None:
    model = _biencoder(tiny)
    queries, documents = model.embed_queries(QUERIES), model.embed_documents(DOCUMENTS)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(
        (queries * documents).sum(axis=1), model.cosines(QUERIES, DOCUMENTS), atol=1e-5
    )


def test_prefixes_reach_the_encoder_and_change_the_id(
    tiny: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixed = _biencoder(tiny.model_copy(update={"query_prefix": "the ", "document_prefix": "of "}))
    texts = _encoded(monkeypatch)
    prefixed.score(["ask1"], ["answer1"])
    assert sorted(texts) == ["of answer1", "the ask1"]
    assert prefixed.id != _biencoder(tiny).id


def test_stochastic_scores_differ_between_passes_and_repeat_by_seed(tiny: ModelSettings) -> None:
    model = _biencoder(tiny)
    first = model.stochastic(PAIRS, passes=3, seed=11)
    assert first.shape == (3, 4, 4)
    np.testing.assert_allclose(first.sum(axis=2), 1.0, atol=1e-5)
    assert (np.abs(first[0] - first[1]) > 0).any()
    assert (model.stochastic(PAIRS, passes=3, seed=11) == first).all()
    assert (model.stochastic(PAIRS, passes=3, seed=12) != first).any()


def test_stochastic_scores_leave_the_plain_ones_and_the_global_generator_alone(tiny: ModelSettings) -> None:
    import torch

    model = _biencoder(tiny)
    before, state = model.score(QUERIES, DOCUMENTS).expected, torch.get_rng_state()
    model.stochastic(PAIRS, passes=2, seed=1)
    assert (torch.get_rng_state() == state).all()
    fresh = BiEncoder(model.encoder.with_model(model.encoder.model), model.head)
    assert (fresh.score(QUERIES, DOCUMENTS).expected == before).all()


def test_a_model_comes_back_from_its_folder_with_its_id_and_scores(
    tiny: ModelSettings, tmp_path: Path
) -> None:
    head = OrdinalHead(7.25, (0.1, 1 / 3, 0.7), (("de", 0.5), ("en", -0.25)))
    plain = _biencoder(tiny)
    model = BiEncoder(plain.encoder, head, "the ", "of ")
    model.save(tmp_path / "m")
    other_machine = tiny.model_copy(update={"base": "elsewhere", "max_length": 99, "query_prefix": "no"})
    loaded = load_model(tmp_path / "m", other_machine, None)
    assert loaded.id == model.id
    languages = ["de", "en", "de", "xx"]
    ours = model.score(QUERIES, DOCUMENTS, languages).probabilities
    assert (loaded.score(QUERIES, DOCUMENTS, languages).probabilities == ours).all()


def test_the_same_model_is_saved_as_the_same_bytes_before_and_after_use(
    tiny: ModelSettings, tmp_path: Path
) -> None:
    model = _biencoder(tiny)
    model.save(tmp_path / "a")
    model.score(QUERIES, DOCUMENTS)
    model.save(tmp_path / "b")
    load_model(tmp_path / "a", tiny, None).save(tmp_path / "c")
    names = sorted(str(file.relative_to(tmp_path / "a")) for file in (tmp_path / "a").rglob("*.*"))
    assert "model.safetensors" in names
    for other in ("b", "c"):
        same, different, missing = filecmp.cmpfiles(tmp_path / "a", tmp_path / other, names, shallow=False)
        assert (sorted(same), different, missing) == (names, [], [])


def test_no_file_of_a_saved_model_tells_where_its_base_lay(
    tiny: ModelSettings, tiny_base: Path, tmp_path: Path
) -> None:
    _biencoder(tiny).save(tmp_path / "m")
    for file in (tmp_path / "m").rglob("*.json"):
        assert str(tiny_base.parent) not in file.read_text(encoding="utf-8")


def test_ids_tell_heads_and_weights_apart(tiny: ModelSettings) -> None:
    model = _biencoder(tiny)
    other = BiEncoder(model.encoder, OrdinalHead(11.0))
    network = model.encoder.copy_model()
    next(network.parameters()).data[0] += 1e-3
    assert len({model.id, other.id, BiEncoder(model.encoder.with_model(network)).id}) == 3
    assert model.id == _biencoder(tiny).id


def test_a_folder_without_a_model_is_refused_with_a_sentence(tiny: ModelSettings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no relevance model"):
        load_model(tmp_path, tiny, None)


def test_a_model_of_an_unknown_kind_is_refused(tiny: ModelSettings, tmp_path: Path) -> None:
    (tmp_path / "serm.json").write_text(json.dumps({"kind": "oracle"}))
    with pytest.raises(ModelError, match="kind oracle"):
        load_model(tmp_path, tiny, None)


def test_weights_that_are_cut_off_are_refused(tiny: ModelSettings, tmp_path: Path) -> None:
    _biencoder(tiny).save(tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"is damaged: model\.safetensors has 500 bytes"):
        load_model(tmp_path / "m", tiny, None)


def test_a_base_folder_that_is_missing_is_refused(tiny: ModelSettings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        open_base(tiny.model_copy(update={"base": str(tmp_path / "nowhere")}), None)


def test_a_length_limit_over_the_networks_own_is_cut_to_it(tiny: ModelSettings) -> None:
    model = _biencoder(tiny.model_copy(update={"max_length": 4_096}))
    assert model.encoder.max_length == 64
    model.score(["red " * 200], ["blue " * 200])


def test_several_threads_may_score_at_once(tiny: ModelSettings, toy: pd.DataFrame) -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = _biencoder(tiny)
    queries, documents = toy["query"].tolist(), toy["text"].tolist()
    pairs = CodedPairs.of(queries, documents)
    plain = _biencoder(tiny).score(queries, documents).expected
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.score(queries, documents).expected, range(8)))
        noisy = list(pool.map(lambda _: model.stochastic(pairs, passes=1, seed=3), range(4)))
    assert all((item == plain).all() for item in found)
    assert all((item == noisy[0]).all() for item in noisy)


def test_fitted_numbers_can_turn_round_documents_of_two_languages_alone(tiny: ModelSettings) -> None:
    """So a bi-encoder ranks at the gate by what it always ranks by (docs/evaluation.md)."""
    plain = OrdinalHead()
    fitted = OrdinalHead(4.0, (0.1, 0.5, 0.6), (("de", 3.0),))
    cosines = np.linspace(-1, 1, 50, dtype=np.float32)
    for language in ("en", "de"):
        expected = expected_grade(fitted.probabilities(cosines, [language] * 50))
        assert (np.diff(expected) >= 0).all()
    two = np.array([0.5, 0.4])
    assert np.diff(expected_grade(plain.probabilities(two, ["en", "de"])))[0] < 0
    probabilities = fitted.probabilities(two, ["en", "de"])
    assert np.diff(expected_grade(probabilities))[0] > 0
    assert (_biencoder(tiny).ranking(probabilities) == expected_grade(probabilities)).all()
