"""LangChain's providers of chat models, and the package that brings each.

The string in front of the colon is LangChain's own (`init_chat_model`); `openai` is missing, as serm speaks
to OpenAI by itself. What is not here is named with `langchain:` before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROVIDERS: Final[Mapping[str, str]] = {
    "anthropic": "langchain-anthropic",
    "azure_ai": "langchain-azure-ai",
    "azure_openai": "langchain-openai",
    "bedrock": "langchain-aws",
    "bedrock_converse": "langchain-aws",
    "cohere": "langchain-cohere",
    "deepseek": "langchain-deepseek",
    "fireworks": "langchain-fireworks",
    "google_genai": "langchain-google-genai",
    "google_vertexai": "langchain-google-vertexai",
    "groq": "langchain-groq",
    "huggingface": "langchain-huggingface",
    "ibm": "langchain-ibm",
    "litellm": "langchain-litellm",
    "mistralai": "langchain-mistralai",
    "nvidia": "langchain-nvidia-ai-endpoints",
    "ollama": "langchain-ollama",
    "openrouter": "langchain-openrouter",
    "perplexity": "langchain-perplexity",
    "together": "langchain-together",
    "upstage": "langchain-upstage",
    "xai": "langchain-xai",
}
FREE: Final = frozenset({"ollama", "huggingface"})
"""Providers that run models on machines of one's own: there need not be a price."""


def package_of(provider: str) -> str:
    """The package that brings a provider; a guess by LangChain's custom where it is not listed."""
    return PROVIDERS.get(provider, f"langchain-{provider.replace('_', '-')}")
