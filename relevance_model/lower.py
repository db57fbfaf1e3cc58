"""The lower layers of a transformer, where they never change: what they make of a text is computed once.

Fine-tuning moves the upper layers (`training.freeze_layers`), so the seed model, every challenger and every
champion share the lower ones. Their output for a text is kept (`storage.layer_states`): a model that comes
later reads it with its upper layers alone, and training does not run the frozen ones again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from serm.core.hashing import digest
from serm.relevance_model.compute import Compute
from serm.relevance_model.dependence import feeding
from serm.relevance_model.identity import weights_id
from serm.relevance_model.layers import layer_stack, lift, replay_of, with_same_weights
from serm.relevance_model.shards import Reader, shards_of
from serm.relevance_model.tokens import FEWEST, Features, length_batches, token_batches
from serm.storage.embeddings import text_hash
from serm.storage.states import States, StateStore, open_states

_SAMPLES: Final = (
    13,
    512,
)  # words of a text that shows whether a cut is one: layers read far and near; chosen
_ALIKE: Final = 0.999  # cosine, chosen: the rounding of float16 and bfloat16 leaves more


@dataclass(frozen=True, slots=True)
class SharedLayers:
    """How many lower layers the models of a run share, and where their output is kept."""

    layers: int  # 0: none
    folder: Path | None  # None: in memory
    limit: int  # bytes, of all that the folder holds


class LowerLayers:
    """The embeddings and the lowest layers of a network, and what they made of the texts so far."""

    def __init__(self, network: Any, shared: SharedLayers, compute: Compute, batch_size: int) -> None:
        """`shared.layers` is at least 1, and less than the network has."""
        stack = layer_stack(network)
        assert stack is not None
        self.layers, self.upper = shared.layers, len(stack) - shared.layers
        self._compute, self._batch_size = compute, batch_size
        self._network = with_same_weights(network).eval()
        lowest = layer_stack(self._network)
        assert lowest is not None
        del lowest[shared.layers :]
        self._top = lowest[-1]
        # What lies above the layers (a last norm, a dense layer) is trained, and no part of them.
        above = feeding(self._network, self._network, "sentence_embedding") - feeding(
            self._network, self._top
        )
        weights = weights_id(self._network, without=above)
        self.id = digest([weights, shared.layers, network.max_seq_length, compute.precision])
        self._store: StateStore | None = open_states(shared.folder, self.id, shared.limit)
        self.outputs = 0  # of a layer: see Replay
        self.made(["a"])

    def __getstate__(self) -> dict[str, Any]:
        """Another process computes what it needs: the store may lie on this machine alone."""
        return {**self.__dict__, "_store": None}

    @property
    def folder(self) -> Path | None:
        """Where the states of these layers are kept; None: in memory alone."""
        return self._store.folder if self._store else None

    def states(self, texts: Sequence[str]) -> list[States]:
        """(tokens, d) of each text; the same bits whether they were kept or are computed now."""
        hashes = [text_hash(text) for text in texts]
        found: list[States | None] = [None] * len(texts)
        if self._store:
            found = self._store.get(hashes)
        missing = [row for row, state in enumerate(found) if state is None]
        if missing:
            made = self.made([texts[row] for row in missing])
            if self._store:
                self._store.put([hashes[row] for row in missing], made)
            for row, state in zip(missing, made, strict=True):
                found[row] = state
        return [state for state in found if state is not None]

    def keep(self, texts: Sequence[str]) -> None:
        """Compute what is missing, shard by shard."""
        distinct = sorted(set(texts))
        missing = self._store.missing([text_hash(text) for text in distinct]) if self._store else ()
        for shard in shards_of([distinct[row] for row in missing], self._batch_size, len):
            self.states(shard)

    @torch.inference_mode()
    def made(self, texts: Sequence[str]) -> list[States]:
        """(tokens, d) of each text, computed now and not kept."""
        result: list[States] = [np.empty((0, 0), np.float16)] * len(texts)
        caught: list[Any] = []
        # What stands above the layers in the network (pooling, a last norm) runs too, and is not asked.
        handle = self._top.register_forward_hook(lambda _, __, output: caught.append(output))
        try:
            for rows, features in token_batches(self._network, texts, self._batch_size, self._compute.device):
                counts = features["attention_mask"].sum(dim=1).tolist()
                with self._compute.autocast():
                    self._network(features)
                output = caught.pop()
                self.outputs = len(output) if isinstance(output, tuple) else 0
                block = (output[0] if self.outputs else output).to(torch.float16).cpu().numpy()
                for position, row in enumerate(rows):
                    result[row] = np.ascontiguousarray(block[position, : counts[position]])
        finally:
            handle.remove()
        return result


def lower_layers(
    network: Any,
    shared: SharedLayers | None,
    compute: Compute,
    batch_size: int,
    *,
    like: LowerLayers | None = None,
) -> LowerLayers | None:
    """The lower layers of a network, `like` where it has the same ones. None where nothing is shared, where
    the network has no upper layers left or cannot be cut, and on an accelerator, which runs layers faster
    than it is fed."""
    stack = layer_stack(network)
    if shared is None or stack is None or compute.kind != "cpu" or not 0 < shared.layers < len(stack):
        return None
    found = LowerLayers(network, shared, compute, batch_size)
    if like is not None and like.id == found.id:
        return like
    return found if _can_be_cut(network, found, compute) else None


@torch.inference_mode()
def _can_be_cut(network: Any, lower: LowerLayers, compute: Compute) -> bool:
    """Whether the upper layers make the same of the lower ones' states as the whole network does. Some read
    more than these: what the first layer gave besides (T5), or the embeddings (DeBERTa's convolution)."""
    whole = Reader(
        network, "sentence_embedding", network.get_embedding_dimension(), 1, compute, normalize=True
    )
    upper = upper_reader(whole, lower)
    for words in _SAMPLES:
        text = _text_of(network, words)
        try:
            (_, features), *_ = replayed(upper.network, lower.made([text]), 1, compute.device)
            cut = upper.values(features, 1)
        # What a layer misses, or a shape that it does not take (XLNet's states have tokens before texts).
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return False
        if not (cut * whole([text])).sum() > _ALIKE:
            return False
    return True


def _text_of(network: Any, words: int) -> str:
    """A text of different words that the network knows: where all tokens are one, it does not matter who
    attends to which."""
    vocabulary: dict[str, int] = getattr(network.tokenizer, "get_vocab", dict)()
    known = sorted({name for token in vocabulary if (name := token.lstrip("▁Ġ#")).isalnum()})
    step = max(1, len(known) // words)
    chosen = known[::step] or ["a", "text"]
    return " ".join(chosen[place % len(chosen)] for place in range(words))


@dataclass(frozen=True)
class UpperReader(Reader):
    """A network without its lower layers, whose output `lower` knows."""

    lower: LowerLayers | None = None

    def batches(self, inputs: Sequence[Any]) -> Iterator[tuple[list[int], Features]]:
        assert self.lower is not None
        states = self.lower.states(inputs)
        yield from replayed(self.network, states, self.batch_size, self.compute.device)


def upper_reader(reader: Reader, lower: LowerLayers) -> UpperReader:
    """A reader of the same network that starts from what `lower` gives it."""
    network = with_same_weights(reader.network)
    lift(network, lower.layers, outputs=lower.outputs)
    return UpperReader(
        network,
        reader.output,
        reader.width,
        reader.batch_size,
        reader.compute,
        reader.normalize,
        lower,
    )


def replayed(
    network: Any, states: Sequence[States], size: int, device: str, *, fewest: int = FEWEST
) -> Iterator[tuple[list[int], Features]]:
    """As `token_batches`, with the states of each batch set in the Replay of `network`.

    No text is tokenized again: there are as many states as tokens, and nothing above the lower layers looks
    at which they were. Rows that fill a batch repeat its first.
    """
    replay = replay_of(network)
    for rows, length, fill in length_batches([len(state) for state in states], size, fewest=fewest):
        block = np.zeros((len(rows) + fill, length, states[rows[0]].shape[1]), dtype=np.float32)
        mask = np.zeros((len(rows) + fill, length), dtype=np.int64)
        for place, row in enumerate([*rows, *[rows[0]] * fill]):
            block[place, : len(states[row])] = states[row]
            mask[place, : len(states[row])] = 1
        replay.states = torch.from_numpy(block).to(device)
        attended = torch.from_numpy(mask).to(device)
        yield rows, {"input_ids": torch.zeros_like(attended), "attention_mask": attended}
