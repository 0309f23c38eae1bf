"""Which label verdicts give a study's films."""

from dataclasses import replace

import pytest

from worker.cases import Frame, JudgedStudy, Labelled, LeftOut, Said, label_study
from worker.domain import VerdictWord

AGREES, DISAGREES = VerdictWord.AGREES, VerdictWord.DISAGREES
CLEAR, HIGHER = Frame("a" * 64, 1, False, 0.1), Frame("b" * 64, 1, False, 0.2)
SUSPICIOUS = Frame("c" * 64, 2, True, 0.9)


def said(verdict: VerdictWord, *, flagged: bool = False, status: str | None = "SCREENED", revision: int = 1) -> Said:
    """The word of a reader on the study as it is."""
    return Said(verdict, revision, status, flagged, of_all_images=True)


def study(*words: Said, frames: tuple[Frame, ...] = (CLEAR, HIGHER), withdrawn: bool = False) -> JudgedStudy:
    """A study of which readers said this."""
    return JudgedStudy("2.25.1", 2 if withdrawn else 1, withdrawn, words, frames, None)


@pytest.mark.parametrize(
    ("word", "frames", "label", "labelled"),
    [
        (said(AGREES, flagged=True), (CLEAR, SUSPICIOUS), 1, (SUSPICIOUS,)),
        (said(DISAGREES, flagged=True), (CLEAR, SUSPICIOUS), 0, (CLEAR, SUSPICIOUS)),
        (said(AGREES), (CLEAR, HIGHER), 0, (CLEAR, HIGHER)),
        (said(DISAGREES), (CLEAR, HIGHER), 1, (HIGHER,)),
        (said(AGREES, flagged=True, status="UNSCREENED"), (SUSPICIOUS,), 1, (SUSPICIOUS,)),
    ],
)
def test_a_verdict_labels_the_films_that_it_must_be_true_of(
    word: Said, frames: tuple[Frame, ...], label: int, labelled: tuple[Frame, ...]
) -> None:
    """Without pneumonia no film shows one; with one the flagged films do, or the most suspicious one if none was."""
    found = label_study(study(word, frames=frames))
    assert isinstance(found, Labelled)
    assert (found.label, tuple(found.frames), found.verdict) == (label, labelled, word.verdict)


@pytest.mark.parametrize("status", ["UNSCREENED", None])
def test_a_word_on_what_was_neither_screened_nor_flagged_says_nothing(status: str | None) -> None:
    """With what the reader agrees there is unknown; another's word on the screened study counts."""
    vague = said(AGREES, status=status)
    assert label_study(study(vague)) is LeftOut.UNSCREENED
    both = label_study(study(vague, said(DISAGREES)))
    assert isinstance(both, Labelled)
    assert both.label == 1


def test_readers_who_differ_teach_nothing() -> None:
    """Neither word wins, however many stand against one."""
    assert label_study(study(said(AGREES), said(AGREES), said(DISAGREES))) is LeftOut.DISAGREEMENT


def test_two_words_for_one_thing_are_no_disagreement() -> None:
    """One disagreed before the flag, one agrees with it: both say pneumonia."""
    found = label_study(study(said(DISAGREES), said(AGREES, flagged=True), frames=(SUSPICIOUS,)))
    assert isinstance(found, Labelled)
    assert found.label == 1


def test_a_word_on_other_images_counts_no_more() -> None:
    """Of a study that changed since, nobody has said anything."""
    assert label_study(study(said(AGREES, revision=0))) is LeftOut.CHANGED


def test_a_withdrawn_flag_that_a_reader_disagreed_with_is_a_negative() -> None:
    """The word was on the flag, and the withdrawal confirms it; a word on the withdrawn study may mean either."""
    against = said(DISAGREES, flagged=True)
    found = label_study(study(against, frames=(CLEAR, SUSPICIOUS), withdrawn=True))
    assert isinstance(found, Labelled)
    assert (found.label, len(found.frames)) == (0, 2)
    for words in (
        (said(AGREES, flagged=True),),
        (said(DISAGREES, revision=2),),
        (replace(against, of_all_images=False),),
    ):
        assert label_study(study(*words, withdrawn=True)) is LeftOut.WITHDRAWN
    assert label_study(study(against, said(AGREES, flagged=True), withdrawn=True)) is LeftOut.DISAGREEMENT
