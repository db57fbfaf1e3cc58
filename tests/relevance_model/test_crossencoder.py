from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import BertTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.base import FloatArray, Read, expected_grade
from serm.relevance_model.crossencoder import CrossEncoderModel, softmax
from serm.relevance_model.loading import load_model, open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.shards import SHARD
from serm.relevance_model.train import calibrate, train

QUERIES = ["red ask1", "red ask1", "blue ask2"]
DOCUMENTS = ["the answer1", "the answer1", "the answer2 of red"]


@pytest.fixture
def model(tiny: ModelSettings) -> CrossEncoderModel:
    return _crossencoder(tiny.model_copy(update={"kind": "crossencoder", "max_length": 24}), None)


def _crossencoder(settings: ModelSettings, cache: Path | None) -> CrossEncoderModel:
    opened = open_base(settings, cache)
    assert isinstance(opened, CrossEncoderModel)
    return opened


def _likelihood(model: CrossEncoderModel, frame: pd.DataFrame) -> float:
    probabilities = model.score(frame["query"].tolist(), frame["text"].tolist()).probabilities
    return float(np.log(probabilities[np.arange(len(frame)), frame["grade"]]).mean())


def test_a_causal_language_model_is_refused_where_it_is_opened(tiny: ModelSettings, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=40, num_key_value_heads=2, **sizes)).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "yes", "no"])
    )
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match=r"cannot be a cross-encoder: its network gives 1 .* 4 numbers"
    ) as error:
        open_base(tiny.model_copy(update={"kind": "crossencoder", "base": str(tmp_path)}), None)
    assert "ForSequenceClassification" in error.value.remedy


def test_a_network_of_another_width_is_an_error_and_no_broadcast(model: CrossEncoderModel) -> None:
    with pytest.raises(ModelError, match="gives 4 for an input where 3 numbers are wanted"):
        replace(model.reader, width=3)([("red ask1", "the answer1")])


def test_it_gives_a_distribution_over_four_grades_and_reads_equal_pairs_once(
    model: CrossEncoderModel,
) -> None:
    scores = model.score(QUERIES, DOCUMENTS)
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (scores.probabilities[0] == scores.probabilities[1]).all()
    assert model.score([], []).probabilities.shape == (0, 4)


class _Counted:
    """Maps over shards here and counts what is read; dies before the shard of that number."""

    def __init__(self, dies_before: int | None = None) -> None:
        self.read, self._dies_before = 0, dies_before

    def __call__(self, read: Read, shards: Sequence[Sequence[Any]]) -> Iterator[FloatArray]:
        for number, shard in enumerate(shards):
            if number == self._dies_before:
                raise KeyboardInterrupt
            self.read += len(shard)
            yield read(shard)


def test_what_a_killed_run_has_read_is_not_read_again(tiny: ModelSettings, tmp_path: Path) -> None:
    settings = tiny.model_copy(update={"kind": "crossencoder", "max_length": 24, "batch_size": 1})
    count = 3 * SHARD
    pairs = CodedPairs.of(
        [f"red ask{row % 6}" for row in range(count)], [f"the answer{row // 6}" for row in range(count)]
    )
    with pytest.raises(KeyboardInterrupt):
        open_base(settings, tmp_path).score_pairs(pairs, _Counted(dies_before=2))
    again = _Counted()
    scores = open_base(settings, tmp_path).score_pairs(pairs, again)
    assert again.read == SHARD
    assert (scores.probabilities == open_base(settings, None).score_pairs(pairs).probabilities).all()
    nothing = _Counted()
    tempered = replace(_crossencoder(settings, tmp_path), temperature=2.0)
    tempered.score_pairs(pairs, nothing)
    assert nothing.read == 0, "a temperature is no part of what was read"
    assert tempered.embeddings is not None
    assert (tempered.embeddings / "logits" / "vectors.bin").is_file(), "pruned with the network's vectors"


def test_pairs_of_the_same_letters_are_not_taken_for_each_other(tiny: ModelSettings, tmp_path: Path) -> None:
    settings = tiny.model_copy(update={"kind": "crossencoder", "max_length": 24})
    model = _crossencoder(settings, tmp_path)
    model.logits(["red "], ["ask1 of the answer1"])
    assert (
        model.logits(["red ask1"], [" of the answer1"]) != model.logits(["red "], ["ask1 of the answer1"])
    ).any()


def test_a_new_classifier_is_the_same_every_time(model: CrossEncoderModel, tiny: ModelSettings) -> None:
    torch.manual_seed(7)
    again = open_base(tiny.model_copy(update={"kind": "crossencoder", "max_length": 24}), None)
    assert again.id == model.id


def test_a_base_s_sigmoid_stays_out_of_what_predict_gives(tiny: ModelSettings, tmp_path: Path) -> None:
    """One of a single label bears one; an export of ours has four logits."""
    _crossencoder(tiny.model_copy(update={"kind": "crossencoder"}), tmp_path / "first").save(
        tmp_path / "base"
    )
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    settings = tiny.model_copy(update={"kind": "crossencoder", "base": str(tmp_path / "base")})
    model = _crossencoder(settings, tmp_path / "second")
    model.save(tmp_path / "saved")
    told = CrossEncoder(str(tmp_path / "saved")).predict([("a", "b")])
    np.testing.assert_allclose(told, model.logits(["a"], ["b"]), atol=1e-2)


def test_its_embeddings_are_unit_vectors_of_single_texts(model: CrossEncoderModel) -> None:
    vectors = model.embed_documents(["the answer1", "the answer2", "the answer1"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] != vectors[1]).any()


def test_training_teaches_it_the_toy_set(
    model: CrossEncoderModel, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    trained = train(model, toy, quick, seed=1)
    assert isinstance(trained, CrossEncoderModel)
    assert _likelihood(trained, toy) > _likelihood(model, toy) + 0.3
    commonest = np.log(toy["grade"].value_counts(normalize=True))
    assert _likelihood(trained, toy) > float(commonest[toy["grade"]].mean()) + 0.1


def test_the_same_start_data_and_seed_give_the_same_cross_encoder(
    model: CrossEncoderModel, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    short = quick.model_copy(update={"epochs": 1})
    assert train(model, toy, short, seed=1).id == train(model, toy, short, seed=1).id


def test_no_epoch_trains_its_classifier_alone(
    model: CrossEncoderModel, quick: TrainingSettings, toy: pd.DataFrame
) -> None:
    trained = train(model, toy, quick, seed=1, epochs=0)
    assert isinstance(trained, CrossEncoderModel)
    assert (trained.embed_documents(["the answer1"]) == model.embed_documents(["the answer1"])).all()
    assert _likelihood(trained, toy) > _likelihood(model, toy)


def test_what_ranks_at_the_gate_does_not_hang_on_the_temperature(model: CrossEncoderModel) -> None:
    logits = np.array([[-3.0, 2.0, 1.0, 1.0], [1.0, 0.0, 2.0, -2.0]], dtype=np.float32)
    first = []
    for temperature in (0.5, 2.0):
        probabilities = softmax(logits / temperature)
        first.append(int(expected_grade(probabilities).argmax()))
        found = replace(model, temperature=temperature).ranking(probabilities)
        np.testing.assert_allclose(found, expected_grade(softmax(logits)), atol=1e-4)
    assert first == [1, 0], "the temperature turns the two round"


def test_calibration_sets_a_temperature_that_makes_grades_likelier(
    model: CrossEncoderModel, toy: pd.DataFrame
) -> None:
    calibrated = calibrate(model, toy)
    assert isinstance(calibrated, CrossEncoderModel)
    assert calibrated.temperature != 1.0
    assert _likelihood(calibrated, toy) >= _likelihood(model, toy)
    assert calibrated.id != model.id


def test_stochastic_scores_repeat_by_seed(model: CrossEncoderModel) -> None:
    first = model.stochastic(CodedPairs.of(QUERIES, DOCUMENTS), passes=2, seed=1)
    assert first.shape == (2, 3, 4)
    assert (first[0] != first[1]).any()
    assert (first == model.stochastic(CodedPairs.of(QUERIES, DOCUMENTS), passes=2, seed=1)).all()


def test_it_comes_back_from_its_folder_and_is_saved_as_the_same_bytes(
    model: CrossEncoderModel, tiny: ModelSettings, tmp_path: Path, toy: pd.DataFrame
) -> None:
    calibrated = calibrate(model, toy)
    calibrated.save(tmp_path / "a")
    loaded = load_model(tmp_path / "a", tiny, None)
    assert loaded.kind == "crossencoder"
    assert loaded.id == calibrated.id
    ours = calibrated.score(QUERIES, DOCUMENTS).probabilities
    assert (loaded.score(QUERIES, DOCUMENTS).probabilities == ours).all()
    loaded.save(tmp_path / "b")
    names = sorted(str(file.relative_to(tmp_path / "a")) for file in (tmp_path / "a").rglob("*.*"))
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False)[0] == names
