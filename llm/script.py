"""Files of given turns, for the backend `scripted:FILE.yaml`.

    turns:                                     # of whoever has no section of its own
      - "a text"
      - tool_calls: [{name: peer_vote, args: {rule: unanimous}}]
    agents:
      drift: [...]                             # the same, for one agent or judge
      chair: [...]

An entry may bear `when:`, a text: it is played, whoever's turn it is, where the newest message of the user or
of a tool holds that text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serm.core.errors import ConfigError
from serm.core.hashing import digest


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that the model says."""

    text: str = ""
    tool_calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # name, arguments
    when: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """What is played for one agent or judge."""

    turns: tuple[Turn, ...]
    revision: str

    def play(self, newest: str, number: int) -> Turn | None:
        """The first turn whose `when` is in `newest`; else turn `number`, from 0, of those without one; None
        where the script is over."""
        for turn in self.turns:
            if turn.when and turn.when in newest:
                return turn
        plain = [turn for turn in self.turns if not turn.when]
        return plain[number] if number < len(plain) else None

    @property
    def plain(self) -> int:
        """Turns without a `when`."""
        return sum(not turn.when for turn in self.turns)


def read_script(file: Path, section: str = "") -> Script:
    """The turns of `section` (an agent's or a judge's name), or those for everybody.

    Raises ConfigError where the file is missing, is no script, or holds no turns for it.
    """
    content = check_script(file)
    turns = (content.get("agents") or {}).get(section, content.get("turns"))
    if not isinstance(turns, Sequence) or isinstance(turns, str) or not turns:
        raise ConfigError(
            f"the script {file} holds no turns for `{section}`.",
            f"Add `turns:`, or `agents: {{{section}: [...]}}`.",
        )
    return Script(tuple(_turn(turn, file) for turn in turns), digest(turns))


def check_script(file: Path) -> dict[str, Any]:
    """What a script's file holds. Raises ConfigError where it is missing or no script."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no script {file}.", "Check the path behind `scripted:`.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that cannot be
        raise ConfigError(
            f"the script {file} cannot be read: {error}",
            "It has to be YAML in UTF-8, in a file that may be read; docs/judges.md says what it holds.",
        ) from error
    if not isinstance(content, dict) or not content or not set(content) <= {"turns", "agents"}:
        raise ConfigError(f"{file} is no script.", "It holds `turns:` or `agents:`, see docs/judges.md.")
    return content


def _turn(value: object, file: Path) -> Turn:
    if isinstance(value, str):
        return Turn(text=value)
    if not isinstance(value, dict) or not set(value) <= {"text", "tool_calls", "when"}:
        raise ConfigError(
            f"{file}: {value!r} is no turn.", "A turn is a text, or a map of text, tool_calls and when."
        )
    try:
        calls = tuple(
            (str(call["name"]), dict(call.get("args") or {})) for call in value.get("tool_calls") or ()
        )
    except (TypeError, KeyError, AttributeError):
        raise ConfigError(
            f"{file}: {value['tool_calls']!r} is no list of tool calls.", "Each has a `name` and `args`."
        ) from None
    return Turn(str(value.get("text", "")), calls, str(value.get("when", "")))
