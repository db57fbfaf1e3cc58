"""The report in a real browser: on a phone, on a desk, in the dark and in print."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_up_results import made_up
from PIL import Image

from serm.benchmarks import arms, html_report
from serm.benchmarks.protocol import Arm
from serm.benchmarks.report_pairs import SHOWN, PairStory
from serm.benchmarks.report_tables import ReportTables
from serm.evals.tables import Cells

chromium = pytest.importorskip("chromium", reason="aiohttp is not installed")
BROWSER = chromium.found()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium"),
]

PHONE, DESK = (390, 844), (1280, 900)
LONG = "random choice, three times the pairs of the others"
HIDDEN = """[...document.querySelectorAll("details dl")].filter(pair => !pair.checkVisibility())"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of the report."""

    widths: dict[int, int]  # of the window -> of the page in it
    pictures: dict[str, Image.Image]
    backgrounds: dict[str, str]
    hidden: int  # pairs that are not seen in print without any script
    open: int  # pairs that are open without having been asked
    styled: bool  # the browser knows what the style sheet says of print
    pdf: bytes
    events: list[dict[str, Any]]
    address: str


def story(number: int) -> PairStory:
    word = "Donaudampfschifffahrtsgesellschaftskapitänsmütze" if number == 3 else "lamp"
    return PairStory(
        round=1,
        query=f"query {number} {word}",
        document=f"a {word}",
        language="de",
        agents="drift",
        reason=f"reason-{number:02d}.",
        votes="ann: 2",
        outcome="dropped",
        grade="–",
        before="1.00",
        after="1.50",
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    results = made_up(folder, marketplace=True, arms=("ours", "random", "third"))
    stated = {"ours": Arm(), "random": Arm(), "third": Arm(matched=False, note=LONG)}
    protocol = results.protocol.model_copy(update={"arms": stated})
    shown = arms.Results(protocol, results.table, results.runs)
    shown.__dict__["facts"] = results.facts
    tables = ReportTables(shown)
    cells = Cells(("human", "0", "1", "2", "3"), (("0", "1,000", "200", "30", "4"),))
    tables.__dict__ |= {"confusions": [("judge-of-a-long-name-7b-instruct", cells)], "drift": cells}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "RESAMPLES", 50)
        patch.setattr(html_report, "pair_stories", lambda run: [story(number) for number in range(SHOWN)])
        page = html_report.html_report(tables, "serm benchmark made-up, today.", ["ann"])
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def seen(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    try:
        return asyncio.run(look(report, tmp_path_factory.mktemp("browser")))
    except chromium.NotStartedError as error:
        pytest.skip(f"{BROWSER} does not run here: {error}")


async def look(report: Path, folder: Path) -> Seen:
    assert BROWSER is not None
    background = "getComputedStyle(document.body).backgroundColor"
    widths, pictures, backgrounds = {}, {}, {}
    async with chromium.browser(BROWSER, folder) as page:
        for width, height in (PHONE, DESK):
            await page.size(width, height, phone=width < 600)
            await page.open(report)
            widths[width] = await page.value("document.documentElement.scrollWidth")
        for scheme in ("light", "dark"):
            await page.media("screen", scheme)
            backgrounds[scheme] = await page.value(background)
            taken = await page.send("Page.captureScreenshot", format="png")
            pictures[scheme] = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("L")
        opened = await page.value("document.querySelectorAll('details[open]').length")
        await page.media("print", "dark")
        backgrounds["print"] = await page.value(background)
        hidden = await page.value(f"{HIDDEN}.length")
        styled = await page.value("CSS.supports('selector(details::details-content)')")
        printed = await page.send("Page.printToPDF", preferCSSPageSize=True)
        pdf = base64.b64decode(printed["data"])
        return Seen(widths, pictures, backgrounds, hidden, opened, styled, pdf, page.events, report.as_uri())


def test_nothing_is_wider_than_the_window(seen: Seen) -> None:
    assert seen.widths == {width: width for width, _ in (PHONE, DESK)}


def test_the_picture_is_not_blank_and_follows_the_dark(seen: Seen) -> None:
    light, dark = seen.pictures["light"], seen.pictures["dark"]
    for picture in (light, dark):
        assert picture.size == DESK
        colours = picture.getcolors()
        assert colours is not None
        assert len(colours) > 20
        assert max(count for count, _ in colours) < 0.97 * picture.width * picture.height
    means = [sum(value * count for count, value in p.getcolors() or []) for p in (light, dark)]
    assert means[1] < means[0] / 2
    assert seen.backgrounds == {
        "light": "rgb(255, 255, 255)",
        "dark": "rgb(18, 22, 29)",
        "print": "rgb(255, 255, 255)",  # whatever the screen is
    }


def test_every_pair_can_be_read_in_print(seen: Seen) -> None:
    assert seen.open == 1
    assert seen.pdf.startswith(b"%PDF")
    if seen.styled:  # since Chromium 131
        assert seen.hidden == 0
    else:
        assert seen.hidden == SHOWN - 1


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext: apt-get install poppler-utils")
def test_every_pair_is_in_the_printed_file(seen: Seen, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(seen.pdf)
    text = subprocess.run(["pdftotext", str(file), "-"], capture_output=True, text=True, check=True).stdout
    assert [number for number in range(SHOWN) if f"reason-{number:02d}." not in text] == []


def test_the_page_has_no_errors_and_asks_for_nothing(seen: Seen) -> None:
    asked = {e["params"]["request"]["url"] for e in seen.events if e["method"] == "Network.requestWillBeSent"}
    assert asked == {seen.address}
    told = [event for event in seen.events if event["method"].startswith(("Log.entry", "Runtime.exc"))]
    assert told == []
    assert not [event for event in seen.events if event["method"] == "Runtime.consoleAPICalled"]
