"""What a report says of its tables, in Markdown and in HTML alike."""

from __future__ import annotations

from typing import Final

CAPTIONS: Final = {
    "under": (
        "Under a table stands the smallest change that so many queries and seeds show in four cases of five, "
        "the median over its arms."
    ),
    "free": (
        "What is not matched by cost stands last, and with it untrained and frozen, which cost no label. "
        "An arm's change is from its own frozen model."
    ),
    "ablations": (
        "The first arm, then the same with a part left out or done otherwise: after the last round on every "
        "test, and on all windows before they are used."
    ),
    "measures": (
        "In points, after the last round. Kappa is weighted by squares; of Brier and of ECE, the expected "
        "calibration error, less is better. NDCG leaves out queries whose grades are all one: they are "
        "counted apart, and are part of the other measures. At the end stands what one answer for all pairs "
        "would have: always the commonest human grade."
    ),
    "of_true_grades": (
        "The gain over frozen after the last round, as a share of that of the arm whose judges say the true "
        "(human) grades: the first row, in points. Nothing where that gain is not surely above 0."
    ),
    "before_use": (
        "Each window before anything of it is used, by the model in use after the round before it, the first "
        "window by frozen. All windows together; a query that comes in several counts once."
    ),
    "by_round": "The model in use minus frozen; the next window before anything of it is used.",
    "sliced": "The model in use minus frozen after the last round; measured queries in brackets.",
    "gaps_left": (
        "What part of the gap that drift opens in frozen an arm does not have between its own static test "
        "and the window's, after the window's round. Any further training lifts both tests, and frozen is "
        "not trained further: what is lifted alike counts above and not here. 100%: drift costs it nothing."
    ),
    "per_thousand": (
        "Points over frozen after the last round, divided by the pairs that were sent to the panel. Tests "
        "alone: windows are measured before most labels are there."
    ),
    "costs": "A seed on average. Kept right: of the kept labels that have a human grade.",
}
