"""Whether a server refused a request because it is longer than its model's context. Pure.

There is no common code for it: OpenAI says `context_length_exceeded`, vLLM "maximum context length",
llama.cpp `exceed_context_size_error`, Anthropic "prompt is too long", Google "exceeds the maximum number of
tokens".
"""

from __future__ import annotations

import re
from typing import Final

_SAYS_SO: Final = re.compile(
    r"context[_ ]?(?:length|size|window|limit)|"
    r"(?:prompt|input|request)[^.]{0,40} too (?:long|large)|"
    r"exceeds? the (?:maximum|configured|model)[^.]{0,40} (?:tokens?|limit|length)",
    re.IGNORECASE,
)


def is_too_long(message: str) -> bool:
    """From the refusal's own words; a server that words it in another way has simply refused."""
    return _SAYS_SO.search(message) is not None
