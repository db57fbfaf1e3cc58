"""Settings of the input: sources, the four sets, windows and tests. docs/config.md shows each in use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from serm.core.columns import language_code
from serm.core.records import GRADES

SetName = Literal["seed", "gate", "stream", "test"]
WILDCARDS: Final = "*?"
"""What makes a path a pattern. A bracket does not: it stands in names of files."""
EVOLVING: Final = "evolving"
"""What reports call the set that is window t+1, measured after round t and before anything of it is used."""


LanguageCode = Annotated[str, AfterValidator(language_code)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Buckets(Section):
    """Rows whose `int(sha256(query_id)[:digits], 16) % modulus` is one of `values`."""

    modulus: int = Field(ge=2)  # number of buckets
    values: tuple[int, ...]  # the buckets that match, from 0
    digits: int = Field(default=8, ge=1, le=64)  # hex digits of the hash that count


class When(Section):
    """A condition on rows; every key that is given must hold. No key at all: every row."""

    source: tuple[str, ...] | None = None  # names of sources
    language: tuple[LanguageCode, ...] | None = None  # values of the column `language`
    split: tuple[str, ...] | None = None  # values of the column `split`
    after: datetime | None = None  # of the column `timestamp`, inclusive
    before: datetime | None = None  # of the column `timestamp`, exclusive
    buckets: Buckets | None = None  # a share of the queries, by the hash of their id
    graded: bool | None = None  # true: rows with a human grade alone; false: those without
    first_queries: int | None = Field(default=None, ge=1)
    """Of the rows that match so far, those of the first so many queries by sha256(query_id)."""


class SetRule(Section):
    """The first rule whose condition holds decides a row's set; a row that none takes is left out."""

    set: SetName  # the set that takes the rows
    when: When = When()


class WindowRule(Section):
    """A named window. It takes stream rows and gate rows alike; the first rule that holds decides."""

    name: str  # as reports call it
    when: When


class WindowSettings(Section):
    by: Literal["auto", "time", "size", "rules"] = "auto"
    """`auto` is `rules` where there are any, else `time` where the rows bear one, else `size`."""
    period: str = "30D"  # of `time`, as pandas writes durations
    open: Literal["use", "hold"] = "use"
    """Of `time`, for a log that is still written: `hold` keeps the newest period back, and what is dated
    behind it, gate and tests too, until a stream row is dated behind its end. `use` takes it as it is."""
    pairs: int = Field(default=50_000, ge=1)  # of `size`; a query is never cut in two
    rules: tuple[WindowRule, ...] = ()

    @model_validator(mode="after")
    def _only_periods_end(self) -> WindowSettings:
        if self.open == "hold" and self.by != "time":
            raise ValueError(f"`open: hold` is for periods, and windows are cut by {self.by}; set `by: time`")
        return self


class TestRule(Section):
    """A named test set among the rows of the set `test`."""

    name: str  # as reports call it; not `evolving`, which is the next window
    when: When = When()
    role: Literal["static", "last", "plain"] = "plain"
    """`static`: the first market's or year's queries; `last`: the last window's; `plain`: one more."""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str) -> str:
        if name == EVOLVING:
            raise ValueError(f"`{EVOLVING}` is what reports call the next window; give the test another name")
        return name


def grade_word(value: object) -> str:
    """A grade as a file may write it, as one text: 4, 4.0, "4" and " 4.0 " are the same value."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


class Source(Section):
    """One input: a Parquet, JSONL or CSV file or many of one log, a BEIR folder, or TREC qrels/run files with
    their texts."""

    pairs: Path
    """The file; the folder of a BEIR data set; a folder of part files, or a pattern with `*` or `?` that
    names them (`logs/*.parquet`), read in the order of their names as one."""
    name: str = ""  # default: the name of the file without its ending or wildcards, else of the folder
    format: Literal["auto", "parquet", "jsonl", "csv", "beir", "trec"] = "auto"  # auto: by the ending
    columns: dict[str, str] = Field(default_factory=dict)  # our name: the file's name
    language: LanguageCode = ""  # for rows that bear none
    grades: dict[str, int | None] = Field(default_factory=dict)
    """The file's value: grade, where it grades on another scale. One that maps to nothing is no grade, and a
    row with one that is not named is rejected. Empty: the file's values are grades, 0 to 3."""
    queries: Path | None = None  # trec: a file of query_id and query
    corpus: Path | None = None  # trec: a file of doc_id, title and text

    @field_validator("grades", mode="before")
    @classmethod
    def _values_are_words(cls, grades: object) -> object:
        """YAML reads a value such as 4 as a number."""
        return (
            {grade_word(value): grade for value, grade in grades.items()}
            if isinstance(grades, dict)
            else grades
        )

    @field_validator("grades")
    @classmethod
    def _grades_are_grades(cls, grades: dict[str, int | None]) -> dict[str, int | None]:
        wrong = sorted({grade for grade in grades.values() if grade is not None and grade not in GRADES})
        if wrong:
            raise ValueError(
                f"{wrong[0]} is no grade: a value goes to one of {GRADES[0]} to {GRADES[-1]}, or to nothing"
            )
        return grades

    @property
    def is_pattern(self) -> bool:
        return any(sign in str(self.pairs) for sign in WILDCARDS)

    @property
    def label(self) -> str:
        if self.name or not self.is_pattern:
            return self.name or self.pairs.stem
        plain = str.maketrans(dict.fromkeys(WILDCARDS, ""))
        names = [self.pairs.stem, *reversed(self.pairs.parent.parts)]
        return next(filter(None, (name.translate(plain).strip("-_. /") for name in names)), "pairs")


class DataSettings(Section):
    sources: tuple[Source, ...] = ()
    """Where pairs come from. A config of judges alone, for `serm annotate`, names none."""
    sets: tuple[SetRule, ...] = ()
    """Empty: the column `split` where there is one; else bucket 0 of 5 is gate, 1 is test, the rest is
    stream, and the graded stream queries of the first window are the seed."""
    windows: WindowSettings = WindowSettings()
    seed_gate: When | None = None
    """Gate rows that are open from the start, beside those that belong to no window."""
    tests: tuple[TestRule, ...] = ()
    """Empty: one test, `test`, that is both static and last."""

    def conditions(self) -> Iterator[tuple[str, When]]:
        """Each condition on rows, by the key that it stands under."""
        yield from ((f"sets.{place}.when", rule.when) for place, rule in enumerate(self.sets))
        for place, window in enumerate(self.windows.rules):
            yield f"windows.rules.{place}.when", window.when
        yield from ((f"tests.{place}.when", test.when) for place, test in enumerate(self.tests))
        if self.seed_gate is not None:
            yield "seed_gate", self.seed_gate

    @model_validator(mode="after")
    def _names_are_unique(self) -> DataSettings:
        for what, names in (
            ("source", [source.label for source in self.sources]),
            ("window", [rule.name for rule in self.windows.rules]),
            ("test", [rule.name for rule in self.tests]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {what}s are called {twice[0]}; give each a name of its own")
        return self
