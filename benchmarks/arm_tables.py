"""Arms against each other: where each ended, what it adds to frozen and to the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from serm.benchmarks.arms import CHAMPION, FROZEN, UNTRAINED, Model, Results
from serm.benchmarks.figures import NONE, SMALLEST, bounded, smallest
from serm.core.records import Interval
from serm.core.settings_data import EVOLVING
from serm.evals.tables import NOTHING, Cells, difference, estimate
from serm.tools.strata import STRATA


def last_round(results: Results) -> Cells:
    """Each arm that is no ablation after its last round on every test: its level, its change from frozen and
    from the baseline, and ours from it. What is not matched by cost stands last, untrained and frozen among
    it."""
    return _levels(results, _no_ablations(results), results.sets)


def before_use(results: Results) -> Cells:
    """The same on each window before anything of it is used, by the model in use after the round before;
    all windows together, the first of which frozen meets."""
    if not results.evolving_rounds:
        return Cells((), ())
    return _levels(results, _no_ablations(results), (EVOLVING,))


def ablations(results: Results) -> Cells:
    """Ours and what became of it with a part left out or done otherwise, on every test after the last round
    and on windows before they are used. Empty where no arm is an ablation."""
    left_out = [(label, model) for label, model in models(results) if _is_ablation(results, model)]
    if not left_out:
        return Cells((), ())
    rows = [(results.named(results.ours), Model(results.ours)), *left_out]
    return _levels(results, rows, (*results.sets, *((EVOLVING,) if results.evolving_rounds else ())))


def _no_ablations(results: Results) -> list[tuple[str, Model]]:
    return [(label, model) for label, model in models(results) if not _is_ablation(results, model)]


def _is_ablation(results: Results, model: Model) -> bool:
    return results.protocol.arms[model.arm].ablation and model.arm != results.ours


def _levels(results: Results, labelled: Sequence[tuple[str, Model]], names: Sequence[str]) -> Cells:
    headers = (
        "arm",
        "set",
        "queries",
        results.measure.upper(),
        "over frozen",
        f"over {results.baseline}",
        f"{results.ours} over it",
    )
    rows: list[tuple[str, ...]] = []
    of_arms: dict[str, list[tuple[Interval, ...]]] = {name: [] for name in names}
    for label, model in labelled:
        for name in names:
            values, changes = results.of(model.arm, name, role=model.role), _changes(results, model, name)
            of_arms[name] += [changes] if model.role == CHAMPION else []
            level = estimate(bounded(results.interval(values)))
            rows.append((label, name, str(results.queries(values)), level, *map(difference, changes)))
    rows += [(SMALLEST, name, "", "", *smallest(of_arms[name])) for name in names]
    return Cells(headers, tuple(rows), frozenset({"arm", "set", *headers[3:]}))


def _changes(results: Results, model: Model, name: str) -> tuple[Interval, ...]:
    """Over frozen (of a model in use its own, of another that of ours), over the baseline, and ours over it;
    nothing between a model and itself."""
    of_arm = Model(model.arm if model.role == CHAMPION else results.ours, FROZEN)
    pairs = ((model, of_arm), (model, Model(results.baseline)), (Model(results.ours), model))
    return tuple(NONE if one == other else results.change(one, other, name) for one, other in pairs)


def arms_in_order(results: Results) -> list[str]:
    """Those that are matched by cost, then the others."""
    return sorted(results.arms, key=lambda arm: not results.protocol.arms[arm].matched)


def models(results: Results) -> list[tuple[str, Model]]:
    """What is in use in each arm, then what cost nothing: untrained and frozen, and those of an arm that
    begins with others (another base model)."""
    found = [(results.named(arm), Model(arm)) for arm in arms_in_order(results)]
    for role in (UNTRAINED, FROZEN):
        first = Model(results.ours, role)
        found.append((f"{role} (no labels)", first))
        others = (Model(arm, role) for arm in results.arms if arm != results.ours)
        found += [
            (f"{role} of {model.arm} (no labels)", model)
            for model in others
            if not results.same(first, model)
        ]
    return found


def by_round(results: Results) -> Cells:
    """What every round added to frozen, test by test: own rounds and what later ones took back; and on the
    next window, before anything of it is used."""
    names = (*results.sets, *((EVOLVING,) if results.next_windows else ()))
    titles = ("next window" if name == EVOLVING else name for name in names)
    headers = ("arm", "round", "window", *titles)
    rows: list[tuple[str, ...]] = []
    gains = []
    for arm in arms_in_order(results):
        for number in results.rounds[1:]:
            gains.append([results.gain(arm, name, number=number) for name in names])
            told = map(difference, gains[-1])
            rows.append((results.named(arm), str(number), results.windows[number], *told))
    rows.append((SMALLEST, "", "", *smallest(gains)))
    return Cells(headers, tuple(rows), frozenset({"arm", *headers[2:]}))


def by_slice(results: Results, column: str) -> Cells:
    """What each arm adds to frozen after the last round, by `language` or by `stratum` (how often a query is
    asked), on each test; the number of measured queries in brackets. Empty where a test has not several."""
    found = {name: results.slices(name, column) for name in results.sets}
    found = {name: slices for name, slices in found.items() if len(slices) > 1}
    values = list(dict.fromkeys(value for slices in found.values() for value in slices))
    if not found:
        return Cells((), ())
    order = [name for name in STRATA if name in values] if column == "stratum" else values
    headers = ("arm", "set", *order)
    rows: list[tuple[str, ...]] = []
    gains: dict[str, list[list[Interval]]] = {name: [] for name in found}
    for arm in arms_in_order(results):
        for name, slices in found.items():
            only = [slices.get(value) for value in order]
            gains[name].append([NONE if i is None else results.gain(arm, name, only=i) for i in only])
            counts = [0 if i is None else results.queries(results.of(arm, name, only=i)) for i in only]
            cells = map(_sliced, gains[name][-1], counts)
            rows.append((results.named(arm), name, *cells))
    rows += [(SMALLEST, name, *smallest(gains[name])) for name in found]
    return Cells(headers, tuple(rows), frozenset(headers))


def _sliced(gain: Interval, count: int) -> str:
    return f"{difference(gain)} ({count})" if count else NOTHING
