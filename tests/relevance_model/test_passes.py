"""Passes under dropout: one draw of masks each, lower layers shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from serm.core.settings_loop import ModelSettings
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.crossencoder import CrossEncoderModel
from serm.relevance_model.layers import layer_stack
from serm.relevance_model.loading import open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.passes import MaskedReader, has_dropout
from serm.relevance_model.shards import Reader

TEXTS = ["red ask1", "the answer1", "the answer2 of red the also1", "blue ask2"]


@pytest.fixture
def reader(tiny: ModelSettings) -> Reader:
    model = open_base(tiny, None)
    assert isinstance(model, BiEncoder)
    return model.encoder.reader


@pytest.mark.parametrize("layers", [None, 1, 2])
def test_what_a_pass_says_of_a_text_does_not_depend_on_its_company(
    reader: Reader, layers: int | None
) -> None:
    together = MaskedReader(reader, 3, seed=5, layers=layers)(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = MaskedReader(reader, 3, seed=5, layers=layers)([text])
        assert (alone[:, 0] == together[:, row]).all()


@pytest.mark.parametrize("layers", [None, 1])
def test_passes_differ_from_each_other_from_the_plain_network_and_by_seed(
    reader: Reader, layers: int | None
) -> None:
    first = MaskedReader(reader, 2, seed=5, layers=layers)(TEXTS)
    assert (first[0] != first[1]).any(axis=1).all()
    assert (first[0] != reader(TEXTS)).any(axis=1).all()
    assert (MaskedReader(reader, 2, seed=6, layers=layers)(TEXTS) != first).any()
    np.testing.assert_allclose(np.linalg.norm(first, axis=2), 1, atol=1e-5)


def test_the_network_itself_stays_as_it_is(reader: Reader) -> None:
    before = reader(TEXTS)
    names = [name for name, _ in reader.network.named_modules()]
    MaskedReader(reader, 2, seed=5, layers=1)(TEXTS)
    assert [name for name, _ in reader.network.named_modules()] == names
    assert (reader(TEXTS) == before).all()


def test_without_any_dropout_rate_the_passes_are_the_plain_network(reader: Reader) -> None:
    assert has_dropout(reader.network)
    for module in reader.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert not has_dropout(reader.network)
    plain = reader(TEXTS)
    for layers in (None, 1):  # sharing the lower layers changes nothing by itself
        assert (MaskedReader(reader, 2, seed=5, layers=layers)(TEXTS) == plain).all()


def test_lower_layers_are_computed_once_for_all_passes(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = layer_stack(reader.network)
    assert stack is not None
    ran: list[str] = []
    kind = type(stack[0])
    plain = kind.forward

    def counted(self: torch.nn.Module, *arguments: object, **named: object) -> object:
        masked = any(type(module).__name__ == "_Mask" for module in self.modules())
        ran.append("upper" if masked else "lower")
        return plain(self, *arguments, **named)

    monkeypatch.setattr(kind, "forward", counted)
    MaskedReader(reader, 5, seed=1, layers=1)(["red ask1"])
    assert (ran.count("lower"), ran.count("upper")) == (1, 5)


def test_a_cross_encoder_has_such_passes_too(tiny: ModelSettings) -> None:
    model = open_base(tiny.model_copy(update={"kind": "crossencoder"}), None)
    assert isinstance(model, CrossEncoderModel)
    pairs = CodedPairs.of(TEXTS[:2] * 2, TEXTS[2:] + TEXTS[1:3])
    found = model.stochastic(pairs, passes=3, seed=2, layers=1)
    some = model.stochastic(pairs.take(np.array([3, 1])), passes=3, seed=2, layers=1)
    assert (some == found[:, [3, 1]]).all()
    assert (found[0] != found[1]).any()
