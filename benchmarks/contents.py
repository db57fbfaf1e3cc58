"""What stood in the files that a run read: a path says nothing of that, and a file may be edited under it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from serm.agents.prompt import OWN
from serm.core.errors import SermError
from serm.core.hashing import digest_file
from serm.core.settings import Settings
from serm.core.settings_loop import PACKAGED_MODEL
from serm.llm.spec import OF_A_FILE, parse_backend
from serm.storage.readers import source_digest


def contents(settings: Settings, *, generated: bool = False) -> dict[str, str]:
    """By key of the config (`data.sources.0.pairs`, `judges.1.backend`, `judges.0.prompt`, `model.base`) a
    digest of the files that it names.

    generated: the data are made from settings, and none of theirs counts.
    A file that cannot be read now is left out: whoever needs it says so.
    """
    found = _of_judges(settings) | _of_prompts(settings) | _of_model(settings)
    found |= {} if generated else _of_sources(settings)
    return {key: told for key, told in found.items() if told}


def _of_judges(settings: Settings) -> dict[str, str]:
    specs = enumerate(parse_backend(judge.backend) for judge in settings.judges)
    return {
        f"judges.{place}.backend": _unless_gone(partial(_digest, settings.resolve(spec.target)))
        for place, spec in specs
        if spec.kind in OF_A_FILE
    }


def _of_prompts(settings: Settings) -> dict[str, str]:
    return {
        f"judges.{place}.prompt": _unless_gone(partial(_digest, settings.resolve(judge.prompt)))
        for place, judge in enumerate(settings.judges)
        if judge.prompt not in OWN
    }


def _of_model(settings: Settings) -> dict[str, str]:
    """A base that is a folder; serm's own and a hub's are what their names say."""
    base = settings.base_model.base
    if base == PACKAGED_MODEL or not Path(base).is_dir():
        return {}
    from serm.relevance_model.identity import folder_id  # imports torch: where there is a folder alone

    return {"model.base": _unless_gone(partial(folder_id, Path(base)))}


def _of_sources(settings: Settings) -> dict[str, str]:
    return {
        f"data.sources.{place}.pairs": _unless_gone(partial(source_digest, source, settings, _digest))
        for place, source in enumerate(settings.data.sources)
    }


def _unless_gone(digest: Callable[[], str]) -> str:
    """ "" for files that are not there any more, as beside results that were copied."""
    try:
        return digest()
    except (SermError, OSError):
        return ""


def _digest(file: Path) -> str:
    told = file.stat()
    return _of_file(file, told.st_mtime_ns, told.st_size)


@cache
def _of_file(file: Path, changed: int, size: int) -> str:  # noqa: ARG001 - another time, another content
    """Once a process for all runs that read it."""
    return digest_file(file)
