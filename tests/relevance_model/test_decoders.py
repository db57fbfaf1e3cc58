"""Base models as decoders come: no padding token, no special tokens around a text, no end of positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    XLNetConfig,
    XLNetModel,
)

from serm.core.errors import ModelError
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.loading import load_model, open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.train import train

WORDS = [f"w{number}" for number in range(40)]
VOCABULARY = {name: place for place, name in enumerate(["<unk>", "<end>", "<fill>", *WORDS])}
UNKNOWN = {"unk_token": "<unk>"}
END = {**UNKNOWN, "eos_token": "<end>"}
TEXTS = ["w1", "w2 w3 w4", "w5 w6 w7 w8 w9 w10 w11 w12 w13 w14", "nobody knows", "w30 nothing"]
GPT2: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "initializer_range": 0.3,
}

Make = Callable[..., ModelSettings]


def gpt2(**config: Any) -> GPT2Model:
    return GPT2Model(GPT2Config(**GPT2, **config))


def classifier(**config: Any) -> GPT2ForSequenceClassification:
    return GPT2ForSequenceClassification(GPT2Config(**GPT2, num_labels=4, **config))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a base: a network, and a tokenizer of words that has these special tokens and adds none."""

    def base(network: Callable[[], Any], special: dict[str, str], **settings: Any) -> ModelSettings:
        folder = tmp_path / "base"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network().save_pretrained(folder)
        words = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
        words.pre_tokenizer = Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
        plain = {"device": "cpu", "precision": "float32", "max_length": 16, "batch_size": 8}
        return ModelSettings(base=str(folder), **(plain | settings))

    return base


@pytest.mark.parametrize("special", [END, UNKNOWN], ids=["end", "unknown"])
@pytest.mark.parametrize("shared", [None, SharedLayers(1, None, 10**7)], ids=["whole", "shared layers"])
def test_a_bi_encoder_without_a_padding_token_pads_with_another_and_vectors_do_not_see_it(
    make: Make, special: dict[str, str], shared: SharedLayers | None
) -> None:
    settings = make(gpt2, special)
    together = open_base(settings, None, shared).embed_documents(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        alone = open_base(settings, None, shared).embed_documents([text])[0]
        np.testing.assert_array_equal(alone, vector)


def test_padding_with_one_token_or_another_gives_the_same_vectors(make: Make) -> None:
    vectors = [
        open_base(make(gpt2, {**END, **other}), None).embed_documents(TEXTS)
        for other in ({}, {"pad_token": "<fill>"})
    ]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(
    ("network", "special"),
    [
        (classifier, END),
        (classifier, {**END, "pad_token": "<fill>"}),
        (lambda: classifier(pad_token_id=2), END),
        (lambda: classifier(pad_token_id=-1), END),
        (gpt2, END),
    ],
    ids=[
        "none",
        "the tokenizer's alone",
        "the network's alone",
        "the network's is below 0",
        "new classifier",
    ],
)
def test_a_cross_encoder_without_a_padding_token_scores_a_pair_as_if_it_were_alone(
    make: Make, network: Callable[[], Any], special: dict[str, str]
) -> None:
    settings = make(network, special, kind="crossencoder")
    model = open_base(settings, None)
    together = model.score(TEXTS, TEXTS[::-1]).probabilities
    for row, pair in enumerate(zip(TEXTS, TEXTS[::-1], strict=True)):
        alone = model.score([pair[0]], [pair[1]]).probabilities[0]
        np.testing.assert_array_equal(alone, together[row])
    assert model.network.tokenizer.pad_token_id == model.network.model.config.pad_token_id


def test_a_classifier_reads_the_last_token_of_a_pair_and_not_what_it_is_padded_with(make: Make) -> None:
    model = open_base(make(classifier, END, kind="crossencoder"), None)
    network = model.network
    numbers = torch.tensor([[VOCABULARY["w1"], VOCABULARY["w2"], VOCABULARY["w3"]]])
    with torch.inference_mode():
        logits = network.model(input_ids=numbers, attention_mask=torch.ones_like(numbers)).logits[0]
    probabilities = torch.softmax(logits, dim=0).numpy()
    np.testing.assert_allclose(model.score(["w1"], ["w2 w3"]).probabilities[0], probabilities, atol=1e-5)


@pytest.mark.parametrize(("kind", "network"), [("biencoder", gpt2), ("crossencoder", classifier)])
def test_a_model_with_another_token_for_padding_is_the_same_once_it_was_saved(
    make: Make, tmp_path: Path, kind: str, network: Callable[[], Any]
) -> None:
    settings = make(network, END, kind=kind)
    model = open_base(settings, None)
    model.save(tmp_path / "saved")
    again = load_model(tmp_path / "saved", settings, None)
    assert again.id == model.id
    scores = [each.score(TEXTS, TEXTS[::-1]).probabilities for each in (model, again)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(("kind", "network"), [("biencoder", gpt2), ("crossencoder", classifier)])
def test_a_tokenizer_without_any_token_to_pad_with_is_refused_with_a_remedy(
    make: Make, kind: str, network: Callable[[], Any]
) -> None:
    with pytest.raises(ModelError, match="has no padding token") as error:
        open_base(make(network, {}, kind=kind), None)
    assert "pad_token" in error.value.remedy


def test_a_classifier_that_fails_on_a_batch_is_refused_in_a_sentence(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("one at a time")

    monkeypatch.setattr(GPT2ForSequenceClassification, "forward", fails)
    with pytest.raises(ModelError, match="cannot be a cross-encoder: one at a time"):
        open_base(make(classifier, END, kind="crossencoder"), None)


NOTHING = ["", "   ", "\u3000"]


@pytest.mark.parametrize("shared", [None, SharedLayers(1, None, 10**7)], ids=["whole", "shared layers"])
@pytest.mark.parametrize("others", [[], TEXTS], ids=["alone", "among others"])
def test_a_text_without_any_token_is_read_as_the_end_alone(
    make: Make, shared: SharedLayers | None, others: list[str]
) -> None:
    model = open_base(make(gpt2, END), None, shared)
    vectors = model.embed_documents([*others, *NOTHING])[len(others) :]
    np.testing.assert_array_equal(vectors, model.embed_documents(["<end>"] * len(NOTHING)))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("kind", "network"),
    [("biencoder", gpt2), ("crossencoder", classifier), ("biencoder", lambda: silent(24))],
    ids=["biencoder", "crossencoder", "padding of zeros in many layers"],
)
def test_pairs_without_any_token_are_scored_and_trained_on(
    make: Make, kind: str, network: Callable[[], Any]
) -> None:
    model = open_base(make(network, {**END, "pad_token": "<fill>"}, kind=kind), None)
    assert np.isfinite(model.score(["", "w1", ""], ["", "", "w2"]).probabilities).all()
    rows = [
        ("a", "1", "w1", "w2", 3),
        ("a", "2", "w1", "", 0),
        ("b", "3", "", "w4", 1),
        ("b", "4", "", "", 2),
    ]
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "query", "text", "grade"])
    frame = frame.assign(title="", language="en")
    trained = train(model, frame, TrainingSettings(epochs=2, freeze_layers=0), seed=1)
    assert np.isfinite(trained.score(["", "w1"], ["", "w2"]).probabilities).all()


def silent(layers: int) -> LlamaModel:
    """Without biases, and without positions in its states: the zeros of its padding token stay zeros."""
    sizes = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
    }
    return LlamaModel(LlamaConfig(vocab_size=len(VOCABULARY), pad_token_id=2, **sizes))


def test_a_text_of_which_a_network_makes_zeros_has_cosine_zero_with_all(make: Make) -> None:
    model = open_base(make(lambda: silent(2), {**UNKNOWN, "pad_token": "<fill>"}), None)
    assert not model.embed_documents([""]).any()
    probabilities = model.score(["", "w1"], ["w2", ""]).probabilities
    chance = 1 / (1 + np.exp(10 * 0.4))  # of grade 1 or more at cosine 0, by the untrained head
    np.testing.assert_allclose(1 - probabilities[:, 0], chance, atol=1e-4)


@pytest.mark.parametrize("shared", [None, SharedLayers(1, None, 10**7)], ids=["whole", "shared layers"])
def test_a_network_whose_positions_have_no_end_reads_max_length_tokens(
    make: Make, shared: SharedLayers | None
) -> None:
    def endless() -> XLNetModel:
        return XLNetModel(
            XLNetConfig(
                vocab_size=len(VOCABULARY), d_model=32, n_layer=2, n_head=2, d_inner=64, pad_token_id=2
            )
        )

    model = open_base(make(endless, {**END, "pad_token": "<fill>"}), None, shared)
    assert model.network.max_seq_length == 16
    seen = model.embed_documents(["w1 w2 w3", "w1 w2 w4"])
    assert np.abs(seen[0] - seen[1]).max() > 0.01  # all three words are read
