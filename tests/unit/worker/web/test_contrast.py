"""Every pair of colours on the page can be told apart (WCAG 2.2, 1.4.3 and 1.4.11), in dark and in light."""

import re
from itertools import product

import pytest

from worker.web.static_files import STATIC

_GROUNDS = ("ground", "raised-ground", "panel")
_TEXTS = ("text", "quiet", "link", "bad", "warn", "good")
TEXT_PAIRS = (*product(_TEXTS, _GROUNDS), ("text", "button"), ("over-text", "over-ground"))
# What is drawn: bars, their threshold, the edges of fields, the outline of the focus, the edge of a raised row.
PART_PAIRS = (
    *(("over", ground) for ground in ("bar", *_GROUNDS)),
    ("under", "bar"),
    ("mark", "bar"),
    ("mark", "over"),
    *(("quiet", ground) for ground in _GROUNDS),
    *(("link", ground) for ground in _GROUNDS),
)


def schemes() -> dict[str, dict[str, str]]:
    """The colours of each scheme by name, as the style sheet has them."""
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "page.css").read_text(), re.DOTALL)
    dark, light = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks[:2])
    return {"dark": dark, "light": light}


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21. Source: WCAG 2.2, definitions of contrast ratio, relative luminance."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_what_the_standard_says() -> None:
    """Black on white has 21; a grey that is known to just pass has 4.5."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_and_parts_stand_out(scheme: str) -> None:
    """Text has 4.5 on every ground it may stand on, what is drawn has 3."""
    colours = schemes()[scheme]
    weak = [
        (one, other, round(contrast(colours[one], colours[other]), 2))
        for pairs, least in ((TEXT_PAIRS, 4.5), (PART_PAIRS, 3.0))
        for one, other in pairs
        if contrast(colours[one], colours[other]) < least
    ]
    assert weak == []
