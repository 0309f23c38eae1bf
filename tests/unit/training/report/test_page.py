"""The report: complete, self-contained, the same every time, and honest about what the films cannot give."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.labelled import labelled
from training.appraisal import appraise
from training.auditing import audit
from training.report.inputs import ReportInputs
from training.report.page import write_report
from worker.model.artifact import ModelCard, default_directory, load_card

FIGURES = {"history", "confusion", "scores", "roc", "floor", "reliability", "decision"}
SHEETS = {"false_negatives", "false_positives"}
NASTY = "<script>alert(1)</script>"
HISTORY = [{"epoch": float(epoch), "size": 80.0 + 32 * (epoch > 2), "loss": 1 / epoch} for epoch in range(1, 5)]

Inputs = Callable[..., ReportInputs]


class _Page(HTMLParser):
    """The text of a page, its elements, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [str(value) for name, value in attributes if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped card with its threshold at 0."""
    shipped = load_card(default_directory())
    point = shipped.operating_point.model_copy(update={"threshold_logit": 0.0})
    return shipped.model_copy(update={"operating_point": point})


@pytest.fixture(scope="module")
def inputs(card: ModelCard) -> Inputs:
    """Makes the inputs of a report from labels and logits; films are named `film0`, `film1` …."""

    def make(labels: list[int], logits: list[float], **more: object) -> ReportInputs:
        pixels = np.random.default_rng(1).integers(0, 256, (len(labels), 32, 32), dtype=np.uint8)
        films = labelled(pixels, labels, ages=[30] * len(labels))
        answers = np.array(logits, np.float32)
        found = appraise(answers, films, card.operating_point)
        return ReportInputs(
            "A model", "drawn films", found, films, answers, card.operating_point, "Nobody knows it.", **more
        )  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def whole(inputs: Inputs, card: ModelCard) -> ReportInputs:
    """Everything there is to report, with 14 misses and 3 false alarms."""
    labels = [1] * 30 + [0] * 30
    logits = [-(row % 15) - 0.5 if row < 14 else 3.0 for row in range(30)] + [1.0, 2.0, 3.0] + [-2.0] * 27
    made = inputs(labels, logits, card=card, history=HISTORY, maps=_maps)
    return replace(made, audit=audit(made.films, np.repeat(["one", "two"], 30)))


@pytest.fixture(scope="module")
def report(whole: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole report."""
    output = tmp_path_factory.mktemp("report")
    write_report(output, whole)
    return output


def _maps(rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.full((len(rows), 7, 7), 4, np.float32)


def _page(output: Path) -> _Page:
    return _Page((output / "report.html").read_text())


def test_the_page_needs_nothing_else(report: Path) -> None:
    """No script, no link, and no address outside the page itself."""
    page = _page(report)
    assert not {"script", "link", "iframe", "object"} & set(page.elements)
    assert page.addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert re.findall(r"url\((?!#)", (report / "report.html").read_text()) == []


def test_every_figure_is_in_the_page_and_beside_it(report: Path) -> None:
    """Drawn in the page, for the eye and for a screen reader, and as PNG without date or program."""
    page = (report / "report.html").read_text()
    assert len(re.findall(r'<svg role="img" aria-label="[A-Z]', page)) == len(FIGURES)
    assert {path.stem for path in (report / "figures").iterdir()} == FIGURES | SHEETS
    for path in (report / "figures").iterdir():
        with Image.open(path) as picture:
            assert set(picture.info) == {"dpi"}
            assert len(picture.convert("L").getcolors() or ()) > 2


def test_figures_take_their_colours_from_the_page(report: Path) -> None:
    """Within the drawings no colour is fixed, and every role has a light and a dark one."""
    page = (report / "report.html").read_text()
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", drawings) == []
    for role in set(re.findall(r"var\((--[a-z-]+)\)", drawings)) - {"--sans"}:
        assert page.count(f"{role}: #") == 2, role


def test_the_same_model_and_films_give_the_same_bytes(report: Path, whole: ReportInputs, tmp_path: Path) -> None:
    """No date, no random name: two reports can be compared."""
    write_report(tmp_path, whole)
    for path in [report / "report.html", *(report / "figures").iterdir()]:
        assert (tmp_path / path.relative_to(report)).read_bytes() == path.read_bytes(), path.name


def test_the_page_says_what_was_measured(report: Path, whole: ReportInputs) -> None:
    """Counts, patients, thresholds, the floor, the audit, limits and attributions stand in it."""
    text, card = _page(report).text, whole.card
    assert card is not None
    for said in (
        "60 chest films of 60 patients, 30 labelled PNEUMONIA and 30 labelled NORMAL",
        "14 of 30 positive films missed",
        "3 of 30 negative films flagged",
        "needs 149 positive patients",
        "18 to 64 years",
        "80 px",
        *whole.audit.lines()[:2],  # type: ignore[union-attr]
        card.intended_use,
        card.sha256,
        *card.limits,
        *(source.attribution for source in card.data),
    ):
        assert " ".join(said.split()) in text, said


def test_the_worst_films_come_first_and_are_twelve(report: Path) -> None:
    """Of 14 misses the 12 with the lowest logits, film and map each; all 3 false alarms, the surest first."""
    page = _page(report)
    missed, alarms = page.text.split("Missed: positive films")[1].split("False alarms: negative films")
    assert re.findall(r"film\d+\b", missed) == [f"film{row}" for row in range(13, 1, -1)]
    assert re.findall(r"film\d+\b", alarms.split("How it was trained")[0]) == ["film32", "film31", "film30"]
    assert page.elements.count("img") == 2 * (12 + 3)


def test_one_class_leaves_out_what_it_cannot_give_and_says_so(inputs: Inputs, tmp_path: Path) -> None:
    """Curves are not drawn, also not those of an earlier report; the rest is there."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/roc.png").write_bytes(b"of yesterday")
    write_report(tmp_path, inputs([1] * 4, [1, 2, -1, 3]))
    text = _page(tmp_path).text
    assert "There is no NORMAL film" in text
    assert text.count("Not drawn: all 4 films are PNEUMONIA") == 4
    assert "There are no negative films." in text
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"confusion", "scores", "false_negatives"}


def test_a_model_that_answers_the_same_everywhere_is_told_at_the_top(inputs: Inputs, tmp_path: Path) -> None:
    """All figures are drawn, and what is wrong stands before them."""
    write_report(tmp_path, inputs([1, 1, 0], [-1, -1, -1]))
    top = _page(tmp_path).text.split("Sensitivity, films")[0]
    assert "The model gives the same answer on all 3 films." in top
    assert "Class collapse: none of the 2 positive films is flagged" in top
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == FIGURES - {"history"} | {"false_negatives"}


def test_a_single_film_gives_a_report(inputs: Inputs, tmp_path: Path) -> None:
    """Whatever can be measured on it."""
    write_report(tmp_path, inputs([0], [-1]))
    assert "There is no PNEUMONIA film" in _page(tmp_path).text


def test_a_model_without_card_history_audit_or_maps_is_reported(inputs: Inputs, tmp_path: Path) -> None:
    """What is not there leaves no empty heading, nothing is promised, and a film's name is text, never markup."""
    made = inputs([1, 0], [-1, 1])
    write_report(tmp_path, replace(made, films=replace(made.films, names=np.array([NASTY, "other"]))))
    page = _page(tmp_path)
    assert "Nobody knows it." in page.text
    assert "nothing is promised of it" in page.text
    for absent in ("How it was trained", "The data, audited", "activation map", "Limits"):
        assert absent not in page.text
    assert page.elements.count("img") == 2
    assert NASTY in page.text
    assert "script" not in page.elements
