"""docs/config.md says what the settings models say."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from serm.cli.config_docs import _models_of, field_texts, render
from serm.core.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "config.md"


def test_the_page_is_what_the_models_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "the settings have changed: run `python -m serm.cli.config_docs > docs/config.md`"
    )


def test_every_key_that_is_no_section_says_what_it_is_for() -> None:
    silent = []
    waiting: list[type[BaseModel]] = [Settings]
    for model in waiting:
        texts = field_texts(model)
        for name, info in model.model_fields.items():
            below = [section for section in _models_of(info.annotation) if section not in waiting]
            waiting += below
            if not _models_of(info.annotation) and not texts[name]:
                silent.append(f"{model.__name__}.{name}")
    assert not silent, f"write a comment beside {', '.join(silent)}"
    assert len(waiting) > 15
