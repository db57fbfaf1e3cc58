"""A token to pad with, for a base model that names none, as many decoders do not (GPT-2 and its kin).

The attention mask hides what a text is padded with, so for a vector any token will do. A causal classifier
counts on it all the same: it reads its logits at the last token that is none of padding.
"""

from __future__ import annotations

from typing import Any

from sentence_transformers import CrossEncoder

from serm.core.errors import ModelError


def settle_padding(network: Any, location: str) -> None:
    """Give the tokenizer of a SentenceTransformer or CrossEncoder a token to pad with where it has none, and
    tell a classifier which one it is. Both are saved with the model; its vocabulary, and so its id, stay.

    Raises ModelError where there is no token that could be it.
    """
    tokenizer, config = network.tokenizer, network[0].auto_model.config.get_text_config()
    named = getattr(config, "pad_token_id", None)
    if getattr(tokenizer, "pad_token_id", 0) is None:
        token = _of_network(tokenizer, named) or tokenizer.eos_token or tokenizer.unk_token
        if token is None:
            raise ModelError(
                f"the tokenizer of the model {location} has no padding token, and neither an end nor an "
                "unknown token to take for one.",
                "Name one of its tokens as `pad_token` in the folder's tokenizer_config.json.",
            )
        tokenizer.pad_token = token
    if isinstance(network, CrossEncoder) and (named is None or named < 0):
        config.pad_token_id = tokenizer.pad_token_id


def _of_network(tokenizer: Any, number: int | None) -> str | None:
    """The token that the network's config takes for padding; None where the tokenizer does not know it."""
    if number is None or not 0 <= number < len(tokenizer):
        return None
    token: str | None = tokenizer.convert_ids_to_tokens(number)
    return token
