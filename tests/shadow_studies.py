"""Studies as the shadow report counts them, made by hand and drawn by chance."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from worker.repository.shadow import Answer, ReadStudy

START = datetime(2026, 9, 7, 8, 0, tzinfo=UTC)  # a Monday, in week 37
MODEL = "resnet50 1.0.0"
FLAGGED = Answer(flagged=True, screened=True, shadow=True, model=MODEL)
UNFLAGGED = Answer(flagged=False, screened=True, shadow=True, model=MODEL)
UNSCREENED = Answer(flagged=False, screened=False, shadow=True, model=MODEL)


def study(
    answer: Answer | None,
    *suspected: bool,
    at: datetime = START,
    sender: str | None = "PACS1",
    blind: bool = True,
    changed: bool = False,
) -> ReadStudy:
    """A study with what its readers say."""
    return ReadStudy(at, sender, answer, suspected, blind, changed)


def drawn_studies(number: int, *, judged_flagged: float, judged_unflagged: float, seed: int = 0) -> Iterator[ReadStudy]:
    """Studies of 15 weeks and three senders, 12 % sick, at a sensitivity of 0.9 and a specificity of 0.8."""
    dice = np.random.default_rng(seed)
    for place in range(number):
        sick = dice.random() < 0.12
        flagged = dice.random() < (0.9 if sick else 0.2)
        said = dice.random() < (judged_flagged if flagged else judged_unflagged)
        words = (bool(sick), bool(sick != (dice.random() < 0.1))) if dice.random() < 0.1 else (bool(sick),)
        answer = UNSCREENED if dice.random() < 0.04 else FLAGGED if flagged else UNFLAGGED
        yield study(
            answer,
            *(words if said else ()),
            at=START + place * timedelta(weeks=15) / number,
            sender=str(dice.choice(["PACS1", "PORTABLE", "<CLINIC>"], p=[0.75, 0.22, 0.03])),
        )
