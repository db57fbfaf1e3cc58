"""The `reliability` rule on recorded judges of TREC Deep Learning, against one judge and against unanimity.

    python -m serm.benchmarks.judging.agreement [../shared/data/trec-dl] [--draws 20] [--only NAME]
    python -m serm.benchmarks.judging.agreement --labels FILE   # for `serm agreement FILE --gold PAIRS`

Prints Markdown: `grades` (the years), `weak` (a weak panel on 2020), `kept` (labels of each grade as many as
unanimity keeps), `sure` (what `keep` does), `added` (whichever judges are added), `unseen` (2021 by grades of
2020), `own` (2021 by grades of its own). The rule was tuned on 2019
and 2020, each learned from 300 pairs of the other; on 2021 nothing was. Takes about two minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from serm.benchmarks.judging.over_draws import OverDraws
from serm.benchmarks.judging.recorded import (
    Ints,
    Recorded,
    counted,
    decided,
    filled,
    labels,
    learned,
    read_years,
)
from serm.core.records import GRADES
from serm.core.settings_loop import AgreementSettings
from serm.evals.rater import calibration
from serm.evals.tables import Cells, markdown
from serm.storage.labels import write_labels
from serm.tools.peer_vote import majority, unanimous

DATA: Final = Path("../shared/data/trec-dl")
GRADED: Final = 300  # human grades that a rule is learned from, where nothing else is said

BEST: Final = "gpt-4o_umbrela"
STRONG: Final = (BEST, "gpt-4_umbrela")
WEAK: Final = ("4prompts_llama70b", "4prompts_flant5large", "sun_then_decomposed_flant5large")
OTHERS: Final = ("llama3.2_umbrela", "4_prompts", "baseline_prompt_order_3210")
NO_GPT4: Final = (
    "llama3.2_umbrela",
    "prompt_llama3.2_graded_1",
    "prompt_llama3.2_graded_12",
    "prompt_mistral_graded_12",
    "prompt_mistral_graded_21",
    "prompt_mistral_graded_32",
)
"""All recorded judges on the scale 0 to 3 that answered in 2020 and 2021 and are no GPT-4."""

RANDOM: Final = tuple(f"random {number}" for number in range(1, 5))
SAME: Final = tuple(f"always {grade}" for grade in GRADES)

Years = dict[int, tuple[Recorded, np.ndarray]]


def weak(years: Years, draws: int) -> str:
    """A weak panel and human grades of 2019, on all of 2020."""
    before, data = years[2019][0], years[2020][0]
    best = _alone(data, BEST)
    rows = [(f"{name} alone", "", *_figures(_alone(data, name), best)) for name in (BEST, *WEAK)]
    counts = OverDraws.of(data, [counted(majority, data, WEAK)])
    rows.append(("majority of the three (drops ties)", "", *_figures(counts, best)))
    for n in (100, GRADED, 500, 1_000, len(before)):
        rule = _over(before, data, WEAK, draws if n < len(before) else 1, n)
        rows.append(("reliability of the three", f"{n:,}", *_figures(rule, best)))
    return _table(("on 2020 (tuned on)", "grades of 2019", *_HEADINGS, f"kappa against {BEST}"), rows)


def kept(years: Years, draws: int) -> str:
    """As many labels of each grade as unanimity keeps."""
    before, data = years[2019][0], years[2020][0]
    rows = []
    for name, judges in (("weak", WEAK), ("weak + gpt-4o", (BEST, *WEAK)), ("gpt-4o, gpt-4", STRONG)):
        agreed = counted(unanimous, data, judges)
        numbers = [int((agreed == grade).sum()) for grade in GRADES]
        given = [
            filled(decided(learned(before, judges, GRADED, draw), data, judges)[1], numbers)
            for draw in range(draws)
        ]
        base, rule = OverDraws.of(data, [agreed]), OverDraws.of(data, given)
        of_each = ", ".join(f"{number:,}" for number in numbers)
        rows.append((name, of_each, "unanimous", *(base.told(item) for item in _SHOWN), ""))
        rows.append(
            (
                "",
                "",
                "reliability",
                *(rule.told(item) for item in _SHOWN),
                rule.against(base, "balanced_accuracy"),
            )
        )
    return _table(("panel", "labels of 0, 1, 2, 3", "rule", *_HEADINGS, "bal. acc. against unanimous"), rows)


def sure(years: Years, draws: int) -> str:
    """What is kept by `agreement.keep`."""
    before, data = years[2019][0], years[2020][0]
    rows = []
    for name, judges in (("weak", WEAK), ("weak + gpt-4o, gpt-4", (*STRONG, *WEAK))):
        agreed = counted(unanimous, data, judges)
        rows.append(_share_row(name, "unanimous", data, [agreed], ""))
        for keep in (1.0, 0.75, 0.5):
            said = [
                decided(learned(before, judges, GRADED, draw, keep), data, judges) for draw in range(draws)
            ]
            errors = [calibration(data.human[g >= 0], g[g >= 0], p[g >= 0]) or 0.0 for g, p in said]
            rows.append(
                _share_row(
                    "", f"reliability, keep {keep}", data, [g for g, _ in said], f"{np.mean(errors):.3f}"
                )
            )
    return _table(("panel", "rule", "kept", "kept of human 0, 1, 2, 3", *_HEADINGS, "ECE"), rows)


def added(years: Years, draws: int) -> str:
    """A strong judge, or two, and whichever others are added."""
    before, data = (with_noise(years[year][0], seed=year) for year in (2019, 2020))
    rows = []
    for name, judges in (
        ("gpt-4o", (BEST,)),
        ("+ four at random", (BEST, *RANDOM)),
        ("+ four of one grade each", (BEST, *SAME)),
        ("+ three weak", (BEST, *WEAK)),
        ("+ three others", (BEST, *OTHERS)),
        ("+ three weak, four at random", (BEST, *WEAK, *RANDOM)),
        ("gpt-4o, gpt-4", STRONG),
        ("+ four at random", (*STRONG, *RANDOM)),
        ("+ three weak", (*STRONG, *WEAK)),
        ("+ three weak, three others", (*STRONG, *WEAK, *OTHERS)),
        ("+ all these, four at random, four of one grade", (*STRONG, *WEAK, *OTHERS, *RANDOM, *SAME)),
    ):
        single = max((_alone(data, judge) for judge in judges), key=lambda item: item.mean("kappa"))
        rule = _over(before, data, judges, draws)
        rows.append((name, single.told("kappa"), rule.told("kappa"), rule.against(single, "kappa")))
    return _table(("panel on 2020 (tuned on)", "best single judge", "reliability", "difference"), rows)


def unseen(years: Years, draws: int) -> str:
    """2021, on which nothing was tuned: six judges that are no GPT-4, and gate queries of 2020."""
    (last, gate), (data, _) = years[2020], years[2021]
    return _six("grades of 2020's gate", last.only(gate), data, draws)


def own(years: Years, draws: int) -> str:
    """2021 without its gate queries, on which nothing was tuned: the same six, and 2021's gate queries."""
    data, gate = years[2021]
    return _six("grades of 2021's gate", data.only(gate), data.only(~gate), draws)


def _six(graded: str, before: Recorded, data: Recorded, draws: int) -> str:
    best = _alone(data, BEST)
    rows = [(f"{name} alone", "", *_figures(_alone(data, name), best), "") for name in (BEST, *NO_GPT4)]
    single = max((_alone(data, name) for name in NO_GPT4), key=lambda item: item.mean("kappa"))
    counts = OverDraws.of(data, [counted(majority, data, NO_GPT4)])
    rows.append(("majority of the six (drops ties)", "", *_figures(counts, best), ""))
    for n in (GRADED, 1_000, len(before)):
        rule = _over(before, data, NO_GPT4, draws if n < len(before) else 1, n)
        closed = (rule.mean("kappa") - single.mean("kappa")) / (best.mean("kappa") - single.mean("kappa"))
        rows.append(("reliability of the six", f"{n:,}", *_figures(rule, best), f"{closed:.0%}"))
    headings = (*_HEADINGS, f"kappa against {BEST}", "of the way from the best of the six")
    return _table(("on 2021 (not tuned on)", graded, *headings), rows)


def grades(years: Years, draws: int) -> str:
    """The years: pairs, queries and shares of the human grades."""
    del draws
    rows = [
        (
            str(year),
            f"{len(data):,}",
            str(data.n_queries),
            *(f"{np.mean(data.human == grade):.0%}" for grade in GRADES),
        )
        for year, (data, _) in years.items()
    ]
    return _table(("year", "pairs", "queries", *map(str, GRADES)), rows)


TABLES: Final[dict[str, Callable[[Years, int], str]]] = {
    "grades": grades,
    "weak": weak,
    "kept": kept,
    "sure": sure,
    "added": added,
    "unseen": unseen,
    "own": own,
}

_SHOWN: Final = ("kappa", "accuracy", "balanced_accuracy")
_HEADINGS: Final = ("kappa", "accuracy", "bal. acc.")


def _figures(rule: OverDraws, best: OverDraws) -> tuple[str, ...]:
    """Measures, and what kappa adds to the best judge's."""
    return (*(rule.told(item) for item in _SHOWN), "" if rule is best else rule.against(best, "kappa"))


def _alone(data: Recorded, judge: str) -> OverDraws:
    return OverDraws.of(data, [data.votes[judge]])


def _over(before: Recorded, data: Recorded, judges: Sequence[str], draws: int, n: int = GRADED) -> OverDraws:
    rules = [learned(before, judges, n, draw) for draw in range(draws)]
    return OverDraws.of(data, [decided(rule, data, judges)[0] for rule in rules])


def _share_row(name: str, rule: str, data: Recorded, given: list[Ints], error: str) -> tuple[str, ...]:
    share = np.mean([grades >= 0 for grades in given])
    of_human = ", ".join(
        f"{np.mean([grades[data.human == grade] >= 0 for grades in given]):.0%}" for grade in GRADES
    )
    measured = OverDraws.of(data, given)
    return (name, rule, f"{share:.0%}", of_human, *(measured.told(item) for item in _SHOWN), error)


def with_noise(data: Recorded, seed: int) -> Recorded:
    """The same pairs with four judges more that answer at random, and four that always say one grade."""
    rng = np.random.default_rng(seed)
    noise = {name: rng.integers(0, len(GRADES), len(data)) for name in RANDOM}
    return data.having(
        noise | {name: np.full(len(data), grade) for name, grade in zip(SAME, GRADES, strict=True)}
    )


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    texts = frozenset({headings[0], "rule", "panel", "labels of 0, 1, 2, 3", "kept of human 0, 1, 2, 3"})
    return markdown(Cells(headings, tuple(rows), texts))


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    options.add_argument("data", nargs="?", type=Path, default=DATA, help="the folder trec-dl")
    options.add_argument("--draws", type=int, default=20, help="random draws of the graded pairs")
    options.add_argument("--only", choices=TABLES, action="append", help="only this table; may be repeated")
    options.add_argument("--labels", type=Path, help="write one draw's labels of 2020, and no table")
    chosen = options.parse_args()
    years = read_years(chosen.data)
    if chosen.labels is not None:
        rule = learned(years[2019][0], WEAK, GRADED, draw=0, keep=AgreementSettings().keep)
        write_labels(labels(rule, years[2020][0], WEAK), chosen.labels)
        return
    for name in chosen.only or TABLES:
        print(f"**{name}**: {TABLES[name].__doc__!s}\n\n{TABLES[name](years, chosen.draws)}", flush=True)


if __name__ == "__main__":
    main()
