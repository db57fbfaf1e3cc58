"""Judge prompts: YAML files in agents/prompts, named by the hash of what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from serm.core.columns import document_text
from serm.core.errors import ConfigError
from serm.core.hashing import digest
from serm.core.records import Pair
from serm.llm.asking import Message

FOLDER: Final = Path(__file__).resolve().parent / "prompts"
OWN: Final = ("umbrela", "grade_only", "reasoned", "agent")
"""Those that come with serm."""
AGENT: Final = "agent"
"""That of judges that search, where the config names none."""
_SLOT: Final = re.compile(r"\{(query|document|language)\}")
_FIELDS: Final = ("grade", "reason")
LONGEST_WORD: Final = 40
"""Characters that are given up for a whole word's sake, at most (chosen): not every script has spaces."""
_LAST_WORD: Final = re.compile(r"\s\S*\Z")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Rubric first, query next, document last, so that a server can share the prefix of a query."""

    name: str
    system: str
    user: str  # with the slots {query}, {document} and {language}
    fields: tuple[str, ...]  # of the answer, in the order in which they are to be written
    limit: int | None = None  # characters of a document that are shown; None: all

    @property
    def hash(self) -> str:
        said = [self.system, self.user, self.fields]
        return digest(said if self.limit is None else [*said, self.limit])

    def evidence(self, pair: Pair) -> str:
        """A hash of what it shows of a pair beside its texts: the language, where it has that slot."""
        return digest(["language", pair.language]) if "{language}" in self.user else ""

    def messages(self, pair: Pair) -> list[Message]:
        """The conversation that a judge is to answer. A text's own braces are left as they are."""
        values: Mapping[str, str] = {
            "query": pair.query,
            "document": shorten(document_text([pair.title], [pair.text])[0], self.limit),
            "language": pair.language or "unknown",
        }
        user = _SLOT.sub(lambda match: values[match.group(1)], self.user)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]


def shorten(text: str, limit: int | None) -> str:
    """The first `limit` characters, whole words where there are spaces, and a mark where something is cut."""
    if limit is None or len(text) <= limit:
        return text
    cut = text[:limit]
    if not text[limit].isspace():  # in the middle of a word
        whole = _LAST_WORD.sub("", cut)
        cut = whole if limit - len(whole) <= LONGEST_WORD else cut
    return f"{cut} …"


def read_prompt(name: str, folder: Path | None = None, limit: int | None = None) -> Prompt:
    """A prompt that comes with serm, by its name, or a YAML file, by its path from `folder`; `limit` are the
    characters of a document that it shows.

    Raises ConfigError where there is none, or where it lacks what a prompt needs.
    """
    file = FOLDER / f"{name}.yaml" if name in OWN else (folder or Path()) / name
    if not file.is_file():
        raise ConfigError(f"there is no prompt `{name}`.", f"Name a YAML file, or one of {', '.join(OWN)}.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that cannot be
        raise ConfigError(
            f"the prompt {file} cannot be read: {error}",
            "It has to be YAML in UTF-8, in a file that may be read; docs/judges.md shows one.",
        ) from error
    return replace(_check(content, file), limit=limit)


def _check(content: Any, file: Path) -> Prompt:
    texts = content if isinstance(content, dict) else {}
    fields = texts.get("fields", ["grade"])
    problems = [f"`{key}` is no text" for key in ("system", "user") if not isinstance(texts.get(key), str)]
    if not problems:
        slots = set(_SLOT.findall(texts["user"]))
        problems += [f"`user` lacks {{{slot}}}" for slot in ("query", "document") if slot not in slots]
    if not isinstance(fields, list) or "grade" not in fields or not set(fields) <= set(_FIELDS):
        problems.append("`fields` is not a list of grade and, if wanted, reason")
    if problems:
        raise ConfigError(f"the prompt {file}: {'; '.join(problems)}.", "docs/judges.md shows one.")
    return Prompt(file.stem, texts["system"].strip(), texts["user"].strip(), tuple(fields))
