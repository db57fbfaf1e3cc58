"""Other ways to run the encoder, beside ours: order of texts, precision, compilation, ONNX Runtime,
OpenVINO.

python -m serm.benchmarks.mining.backends

Processor time a text on one thread, and how near vectors stay to those in float32. ONNX Runtime and
OpenVINO are no dependencies of serm: `pip install onnx onnxscript onnxruntime openvino`; what is missing
is told. The texts are TREC Deep Learning's passages (not part of serm), or those of another file of
pairs.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import pandas as pd
import torch

from serm.core.columns import document_text
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.base import FloatArray
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.encoder import TextEncoder
from serm.relevance_model.loading import open_base
from serm.relevance_model.tokens import token_batches

INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
PLAIN_BATCH: Final = 64
Encode = Callable[[Sequence[str]], FloatArray]


class Pooled(torch.nn.Module):
    """A BERT with mean pooling and unit length in one graph, as an export wants it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        states = self.network(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
        weights = mask[:, :, None].to(states.dtype)
        return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=1)


def ways(folder: Path) -> Iterator[tuple[str, Callable[[], Encode]]]:
    """Names, and what opens each; ImportError where a package is missing. The first one is the reference."""
    single, half = _encoder("float32"), _encoder("bfloat16")
    graph = Pooled(single.model[0].model).eval()
    yield "float32, batches of one length", lambda: single.reader
    yield "float32, as they come", lambda: _as_they_come(single)
    yield "bfloat16, as they come", lambda: _as_they_come(half)
    yield "bfloat16, batches of one length (ours)", lambda: half.reader
    yield "the same under torch.compile", lambda: _by_length(single, _compiled(graph))
    yield "ONNX Runtime, float32", lambda: _by_length(single, _onnx(_exported(graph, folder)))
    yield "ONNX Runtime, dynamic int8", lambda: _by_length(single, _onnx(_int8(graph, folder)))
    yield "OpenVINO, float32", lambda: _by_length(single, _openvino(_exported(graph, folder), "f32"))
    yield "OpenVINO, bfloat16", lambda: _by_length(single, _openvino(_exported(graph, folder), "bf16"))
    yield (
        "OpenVINO, ONNX Runtime's int8 file",
        lambda: _by_length(single, _openvino(_int8(graph, folder), "f32")),
    )


def _encoder(precision: str) -> TextEncoder:
    model = open_base(ModelSettings.model_validate({"precision": precision, "device": "cpu"}), None)
    assert isinstance(model, BiEncoder)
    return model.encoder


@torch.inference_mode()
def _read_plain(encoder: TextEncoder, texts: Sequence[str]) -> FloatArray:
    parts = []
    for start in range(0, len(texts), PLAIN_BATCH):
        features = encoder.model.preprocess(list(texts[start : start + PLAIN_BATCH]))
        parts.append(encoder.reader.values(features, PLAIN_BATCH))
    return np.concatenate(parts)


def _as_they_come(encoder: TextEncoder) -> Encode:
    return lambda texts: _read_plain(encoder, texts)


def _by_length(encoder: TextEncoder, call: Callable[[dict[str, Any]], FloatArray]) -> Encode:
    def encode(texts: Sequence[str]) -> FloatArray:
        result = np.empty((len(texts), encoder.dim), dtype=np.float32)
        for rows, features in token_batches(encoder.model, texts, encoder.batch_size, "cpu"):
            result[rows] = call(features)[: len(rows)]
        return result

    return encode


def _compiled(graph: Pooled) -> Callable[[dict[str, Any]], FloatArray]:
    compiled = torch.compile(graph, dynamic=True)

    def call(features: dict[str, Any]) -> FloatArray:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            return np.asarray(compiled(*(features[name] for name in INPUTS)).float().numpy())

    return call


def _exported(graph: Pooled, folder: Path) -> Path:
    importlib.import_module("onnxscript")
    path = folder / "model.onnx"
    if not path.exists():
        example = tuple(torch.ones((2, 16), dtype=torch.int64) for _ in INPUTS)
        axes = {name: {0: "rows", 1: "tokens"} for name in INPUTS} | {"vectors": {0: "rows"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                example,
                str(path),
                input_names=list(INPUTS),
                output_names=["vectors"],
                dynamic_axes=axes,
                opset_version=17,
                dynamo=False,
            )
    return path


def _int8(graph: Pooled, folder: Path) -> Path:
    quantization = importlib.import_module("onnxruntime.quantization")
    path = folder / "int8.onnx"
    if not path.exists():
        quantization.quantize_dynamic(
            str(_exported(graph, folder)),
            str(path),
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
    return path


def _onnx(path: Path) -> Callable[[dict[str, Any]], FloatArray]:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda features: session.run(None, {name: features[name].numpy() for name in INPUTS})[0]


def _openvino(path: Path, precision: str) -> Callable[[dict[str, Any]], FloatArray]:
    core = importlib.import_module("openvino").Core()
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    model = core.compile_model(core.read_model(str(path)), "CPU", options)
    return lambda features: np.asarray(model([features[name].numpy() for name in INPUTS])[0])


def measure(texts: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """A row a way: milliseconds a text, the first call apart, and cosines to the first way's vectors."""
    reference: FloatArray | None = None
    for name, opened in ways(folder):
        try:
            encode = opened()
        except ImportError as error:
            yield {"way": name, "ms a text": "", "first call, s": "", "cosine": f"{error.name} is missing"}
            continue
        began = process_time()
        encode(texts)
        first = process_time() - began
        began = process_time()
        vectors = encode(texts)
        spent = process_time() - began
        reference = vectors if reference is None else reference
        cosine = np.einsum("nd,nd->n", vectors, reference)
        yield {
            "way": name,
            "ms a text": f"{1e3 * spent / len(texts):.1f}",
            "first call, s": f"{first:.1f}",
            "cosine": f"{cosine.mean():.5f}, least {cosine.min():.5f}",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Other ways to run the encoder (docs/performance.md).")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/trec-dl/pairs.parquet"))
    parser.add_argument("--texts", type=int, default=192)
    given = parser.parse_args()
    if not given.data.is_file():
        raise SystemExit(f"{given.data} is missing; name another file of pairs with --data")
    frame = pd.read_parquet(given.data)
    texts = list(dict.fromkeys(document_text(frame["title"], frame["text"])))
    np.random.default_rng(0).shuffle(texts)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="serm-backends-") as folder:
        rows = list(measure(texts[: given.texts], Path(folder)))
    print(f"MiniLM, one thread, processor time, {given.texts} texts")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
