"""The real vLLM, where it is installed, over a model of random weights: what it says means nothing.

SERM_VLLM_MODEL may name a folder or a hub's id of a real one, which then has to grade every pair.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from serm.agents.panel import Panel, open_panel
from serm.core import FailureKind, Pair, Settings
from serm.llm.vllm_engine import ENGINES
from serm.storage.judgments import JudgmentStore

pytestmark = [
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (pip install vllm)"),
    pytest.mark.timeout(1_200),
]

SettingsWith = Callable[..., Settings]
REAL = os.environ.get("SERM_VLLM_MODEL", "")
WORDS = "You judge how relevant a document is to a search query. Answer with a JSON object and nothing else"
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}<|assistant|>"
)
PAIRS = [
    Pair(f"q{number}", f"d{number}", f"capital of country {number}", f"City {number} is the capital of it.")
    for number in range(8)
]
LONG = Pair("q-long", "d-long", "capital of France", "Paris is the capital of France. " * 2_000)


def write_tiny_model(folder: Path) -> str:
    """A causal language model of random weights; its tokens are the bytes and pieces of a few words."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    yield REAL or write_tiny_model(tmp_path_factory.mktemp("tiny"))
    ENGINES.shut_down()


@pytest.fixture
def panel_with(model: str, settings_with: SettingsWith) -> Callable[..., Panel]:
    def make(prompt: str = "grade_only", **llm: Any) -> Panel:
        vllm = {"max_model_len": 2048, "enforce_eager": True, "dtype": "bfloat16"}
        judge = {"backend": f"vllm:{model}", "name": "j", "prompt": prompt}
        return open_panel(settings_with(judge, llm={"max_tokens": 64, "retries": 1, "vllm": vllm} | llm))

    return make


def test_it_proves_itself_judges_a_shard_and_says_the_same_again(
    panel_with: Callable[..., Panel], store: JudgmentStore, tmp_path: Path
) -> None:
    with panel_with() as panel:
        assert REAL == "" or panel.prove() == {"j": ""}
        report = panel.judge("j", [*PAIRS[:4], LONG, *PAIRS[4:]], store)
        with JudgmentStore(f"sqlite:///{tmp_path / 'again.sqlite'}") as again:
            panel.judge("j", PAIRS[::-1], again)
            for pair in PAIRS:
                (first,), (second,) = store.for_pair(*pair.key), again.for_pair(*pair.key)
                assert first.grade == second.grade  # whoever else was asked at the same time
                assert first.failure is None or first.failure.kind is FailureKind.UNPARSABLE
                assert first.tokens_in > 100
                assert first.distribution is None or sum(first.distribution) == pytest.approx(1)
                assert first.outside is None  # the schema has ruled all else out before vLLM counts
                if REAL:
                    assert first.failure is None
                    assert first.distribution is not None
        (long,) = store.for_pair(*LONG.key)
        assert long.failure is not None
        assert long.failure.kind is FailureKind.TOO_LONG
        assert report.failed >= 1
        panel.rest()
        assert panel.judge("j", PAIRS, store).recorded >= report.graded


def test_an_argument_that_vllm_does_not_know_is_named(
    panel_with: Callable[..., Panel], store: JudgmentStore
) -> None:
    from serm.core.errors import ConfigError

    with (
        panel_with(vllm={"gpu_memory": 0.5}) as panel,
        pytest.raises(ConfigError, match=r"llm\.vllm\.gpu_memory"),
    ):
        panel.judge("j", PAIRS[:1], store)


def test_a_model_that_is_none_is_a_sentence(settings_with: SettingsWith, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with open_panel(settings_with({"backend": "vllm:empty", "name": "j"})) as panel:
        assert "vLLM cannot load" in panel.prove()["j"]
