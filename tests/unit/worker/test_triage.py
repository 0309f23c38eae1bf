"""What may be said of a study, from what became of its images."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.reasons import Reason
from dicom_io.rejection import Rejection
from worker.domain import FINDING, WORKING_STATES, ImageState, Prediction, Priority, PriorityReason, ScreeningStatus
from worker.triage import RAISED_BY_REJECTED, WITHDRAWN, ImageOutcome, judge

SCORED, FAILED, OUT_OF_SCOPE = ImageState.SCORED, ImageState.FAILED, ImageState.OUT_OF_SCOPE


def outcome(
    state: ImageState,
    reason: Reason | None = None,
    *,
    flagged: bool = False,
    warnings: tuple[str, ...] = (),
    rejection: Rejection | None = None,
    withdrawn: bool = False,
) -> ImageOutcome:
    """One image of one frame; a scored one has a logit on the right side of the threshold, another one has none."""
    scored = state is SCORED or flagged
    prediction = Prediction(
        sop_instance_uid="2.25.11",
        content_sha256="c" * 64,
        frame=1,
        status=ScreeningStatus.SCREENED if scored else ScreeningStatus.UNSCREENED,
        reason=None if scored else reason,
        logit=(1.0 if flagged else -1.0) if scored else None,
        flagged=flagged,
    )
    return ImageOutcome(state, reason, warnings, (prediction,), rejection, withdrawn)


LATERAL = outcome(OUT_OF_SCOPE, Reason.LATERAL_VIEW)
HIP = outcome(OUT_OF_SCOPE, Reason.WRONG_BODY_PART)
CLEAR = outcome(SCORED)
SUSPICIOUS = outcome(SCORED, flagged=True)
BROKEN = outcome(FAILED, Reason.TRUNCATED)

outcomes = st.builds(
    outcome,
    st.sampled_from(ImageState),
    st.sampled_from([Reason.LATERAL_VIEW, Reason.TRUNCATED, Reason.WRONG_BODY_PART]),
    flagged=st.booleans(),
    rejection=st.none() | st.sampled_from(Rejection),
    withdrawn=st.booleans(),
)
studies = st.lists(outcomes, max_size=6)
causes = st.none() | st.sampled_from(PriorityReason)


def test_a_flagged_image_raises_the_study() -> None:
    """One suspicious film among others asks for HIGH, and says why."""
    verdict = judge([CLEAR, SUSPICIOUS])
    assert (verdict.priority, verdict.priority_reason) == (Priority.HIGH, PriorityReason.FINDING)
    assert (verdict.status, verdict.reason, verdict.finding) == (ScreeningStatus.SCREENED, None, FINDING)


def test_nothing_flagged_asks_for_nothing() -> None:
    """A screened study without a flag has no priority, no cause and no finding: no word for normal."""
    verdict = judge([CLEAR, LATERAL])
    assert verdict.status is ScreeningStatus.SCREENED
    assert (verdict.reason, verdict.priority, verdict.priority_reason, verdict.finding) == (None, None, None, None)


@pytest.mark.parametrize("state", WORKING_STATES)
@pytest.mark.parametrize("others", [[], [CLEAR], [BROKEN], [LATERAL]])
def test_work_in_progress_is_pending(state: ImageState, others: list[ImageOutcome]) -> None:
    """While any image is on its way the study is not screened, whatever became of the others."""
    verdict = judge([*others, outcome(state)])
    assert (verdict.status, verdict.reason) == (ScreeningStatus.UNSCREENED, Reason.PENDING)


def test_a_failed_image_makes_the_study_incomplete_and_keeps_its_flag() -> None:
    """What was found stays said, although not everything could be looked at."""
    verdict = judge([SUSPICIOUS, BROKEN])
    assert (verdict.status, verdict.reason) == (ScreeningStatus.UNSCREENED, Reason.INCOMPLETE)
    assert verdict.priority is Priority.HIGH


def test_a_failed_image_alone_is_in_scope() -> None:
    """A film that cannot be read might have been a chest: the study is incomplete and in scope."""
    verdict = judge([BROKEN])
    assert (verdict.reason, verdict.in_scope) == (Reason.INCOMPLETE, True)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([LATERAL], Reason.LATERAL_VIEW),
        ([LATERAL, LATERAL], Reason.LATERAL_VIEW),
        ([LATERAL, HIP], Reason.NOTHING_IN_SCOPE),
        ([outcome(OUT_OF_SCOPE)], Reason.NOTHING_IN_SCOPE),
        ([], Reason.NOTHING_IN_SCOPE),
    ],
)
def test_a_study_without_a_frontal_chest_says_why(images: list[ImageOutcome], reason: Reason) -> None:
    """A reason that all images share is the study's; several reasons have a common name."""
    verdict = judge(images)
    assert (verdict.status, verdict.reason, verdict.in_scope) == (ScreeningStatus.UNSCREENED, reason, False)


def test_a_replaced_image_is_left_out_of_everything() -> None:
    """Neither flag, failure, warning nor prediction of a superseded object is said of the study."""
    replaced = outcome(ImageState.SUPERSEDED, flagged=True, warnings=("old",))
    verdict = judge([replaced, CLEAR])
    assert (verdict.status, verdict.priority, verdict.warnings) == (ScreeningStatus.SCREENED, None, ())
    assert verdict.predictions == CLEAR.predictions
    assert not judge([replaced]).in_scope


def test_a_late_study_is_overdue_and_keeps_what_was_found() -> None:
    """Overdue says that screening is not done; it neither hides a flag nor needs one."""
    late = judge([SUSPICIOUS, outcome(ImageState.RECEIVED)], overdue=True)
    assert (late.status, late.reason, late.priority) == (ScreeningStatus.UNSCREENED, Reason.OVERDUE, Priority.HIGH)
    assert judge([outcome(ImageState.RECEIVED)], overdue=True).priority is None


def test_warnings_are_told_once_in_order_of_arrival() -> None:
    """Two films of one child say its age once."""
    first, second = outcome(SCORED, warnings=("age", "view")), outcome(SCORED, warnings=("age", "pixels"))
    assert judge([first, second]).warnings == ("age", "view", "pixels")


@given(studies, studies, causes, st.booleans())
def test_more_flagged_images_never_lower_a_priority(
    images: list[ImageOutcome], more: list[ImageOutcome], raised: PriorityReason | None, overdue: bool
) -> None:
    """A study that asks for HIGH still does, with the finding if it had one, when further images come."""
    before, after = judge(images, raised=raised, overdue=overdue), judge([*images, *more], raised=raised)
    if before.priority is not None:
        assert after.priority is Priority.HIGH
    if before.finding is not None:
        assert after.finding == FINDING
    if any(image.state != ImageState.SUPERSEDED and image.raises for image in more):
        assert (after.priority, after.priority_reason, after.finding) == (
            Priority.HIGH,
            PriorityReason.FINDING,
            FINDING,
        )


@given(studies, st.sampled_from(PriorityReason), st.booleans())
def test_raised_stays_raised(images: list[ImageOutcome], cause: PriorityReason, overdue: bool) -> None:
    """Whatever the images say now, a study that was raised keeps its priority."""
    assert judge(images, raised=cause, overdue=overdue).priority is Priority.HIGH


@given(studies, causes, st.booleans())
def test_screened_means_that_every_image_in_scope_was_scored(
    images: list[ImageOutcome], raised: PriorityReason | None, overdue: bool
) -> None:
    """SCREENED is said exactly when something in scope is there, all of it is scored, and it was in time."""
    in_scope = [i for i in images if i.state not in {ImageState.SUPERSEDED, OUT_OF_SCOPE} and i.rejection is None]
    working = any(i.state in WORKING_STATES for i in images)
    screened = bool(in_scope) and all(i.state is SCORED for i in in_scope) and not working and not overdue
    verdict = judge(images, raised=raised, overdue=overdue)
    assert (verdict.status is ScreeningStatus.SCREENED) == screened
    assert (verdict.reason is None) == screened
    assert (verdict.priority is None) == (verdict.priority_reason is None)


def test_a_film_that_the_picture_gate_turns_away_leaves_its_study_unscreened() -> None:
    """Its header said chest and nobody has judged it: beside a scored film the study is incomplete."""
    turned_away = outcome(OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE)
    assert judge([CLEAR, turned_away]).reason is Reason.INCOMPLETE
    assert judge([turned_away]).reason is Reason.OUT_OF_SCOPE_IMAGE
    assert judge([SUSPICIOUS, turned_away]).priority is Priority.HIGH


def rejected(image: ImageOutcome, rejection: Rejection = Rejection.QUALITY) -> ImageOutcome:
    """The image as a rejection note leaves it."""
    return replace(image, rejection=rejection)


def withdrawn(image: ImageOutcome) -> ImageOutcome:
    """The image as a reader's withdrawal leaves it."""
    return replace(image, withdrawn=True)


WRONG_PATIENT = [Rejection.PATIENT_SAFETY, Rejection.WORKLIST_ENTRY]
RIGHT_PATIENT = [Rejection.QUALITY, Rejection.RETENTION_EXPIRED]


@given(studies, st.booleans(), st.booleans())
def test_withdrawn_images_raise_nothing_and_hide_nothing(images: list[ImageOutcome], overdue: bool, now: bool) -> None:
    """Marking every image leaves no priority; one more flagged image, which no reader has seen, brings it back."""
    marked = [withdrawn(image) for image in images]
    verdict = judge(marked, overdue=overdue, withdrawn=now)
    assert (verdict.priority, verdict.priority_reason, verdict.finding) == (None, None, None)
    again = judge([*marked, SUSPICIOUS], overdue=overdue)
    assert (again.priority, again.withdrawn) == (Priority.HIGH, False)


@given(studies, st.sampled_from(PriorityReason), st.booleans(), st.booleans())
def test_no_mark_and_no_note_lowers_what_was_raised(
    images: list[ImageOutcome], cause: PriorityReason, overdue: bool, now: bool
) -> None:
    """While the study is raised, neither withdrawn images nor notes of any title lower it: a person does, elsewhere."""
    for rejection in (None, *Rejection):
        changed = [replace(image, rejection=rejection, withdrawn=True) for image in images]
        verdict = judge(changed, raised=cause, overdue=overdue, withdrawn=now)
        assert (verdict.priority, verdict.withdrawn) == (Priority.HIGH, False)


@given(studies, causes, st.booleans(), st.booleans())
def test_a_withdrawn_study_has_no_priority(
    images: list[ImageOutcome], raised: PriorityReason | None, overdue: bool, now: bool
) -> None:
    """No result says HIGH and withdrawn at once, and a withdrawal is said in words."""
    verdict = judge(images, raised=raised, overdue=overdue, withdrawn=now)
    assert not (verdict.withdrawn and verdict.priority)
    assert (WITHDRAWN in verdict.warnings) == verdict.withdrawn


def test_a_withdrawn_film_stays_screened_and_named() -> None:
    """It was looked at; the study is SCREENED as before, and the result says that a reader took the flag back."""
    verdict = judge([CLEAR, withdrawn(SUSPICIOUS)])
    assert (verdict.status, verdict.priority, verdict.withdrawn) == (ScreeningStatus.SCREENED, None, True)
    assert verdict.predictions == (*CLEAR.predictions, *SUSPICIOUS.predictions)


def test_a_withdrawal_outlives_its_film() -> None:
    """The marked film was replaced by one that is not flagged: the study still says that its flag was withdrawn."""
    replaced = replace(withdrawn(SUSPICIOUS), state=ImageState.SUPERSEDED)
    assert judge([replaced, CLEAR]).withdrawn
    assert not judge([replaced, SUSPICIOUS]).withdrawn


def test_a_flag_whose_film_is_gone_can_be_withdrawn() -> None:
    """The film that raised the study was replaced: the withdrawal is said all the same."""
    verdict = judge([CLEAR], withdrawn=True)
    assert (verdict.withdrawn, verdict.warnings) == (True, (WITHDRAWN,))


@given(studies, causes)
def test_a_rejected_film_is_not_named(images: list[ImageOutcome], raised: PriorityReason | None) -> None:
    """What is said names the images that are neither rejected nor replaced, and no other."""
    named = [i for i in images if i.rejection is None and i.state != ImageState.SUPERSEDED]
    assert judge(images, raised=raised).predictions == tuple(p for image in named for p in image.predictions)


@pytest.mark.parametrize("rejection", Rejection)
def test_a_rejected_failure_does_not_make_the_study_incomplete(rejection: Rejection) -> None:
    """Nobody reads a rejected film; what is left was screened. The result tells how many were left out, and why."""
    verdict = judge([CLEAR, rejected(BROKEN, rejection)])
    assert (verdict.status, verdict.reason) == (ScreeningStatus.SCREENED, None)
    assert verdict.warnings == (f"images left out: 1 ({rejection.meaning})",)


@pytest.mark.parametrize(
    "images",
    [
        [rejected(CLEAR)],
        [rejected(LATERAL)],
        [rejected(CLEAR), rejected(BROKEN, Rejection.PATIENT_SAFETY)],
        [rejected(CLEAR), LATERAL],
    ],
)
def test_a_study_left_without_a_frontal_film_by_notes_is_rejected(images: list[ImageOutcome]) -> None:
    """All rejected, or all but a lateral: nothing was screened of what is left, and the reason says why."""
    verdict = judge(images)
    assert (verdict.status, verdict.reason, verdict.in_scope) == (ScreeningStatus.UNSCREENED, Reason.REJECTED, False)


def test_a_rejected_lateral_changes_nothing_for_the_others() -> None:
    """The reason of what is left stays what it was."""
    assert judge([HIP, rejected(LATERAL)]).reason is Reason.WRONG_BODY_PART
    assert judge([CLEAR, rejected(LATERAL)]).status is ScreeningStatus.SCREENED


def test_a_rejected_film_that_is_still_worked_on_keeps_the_study_pending() -> None:
    """It may show the finding: the study is not concluded before it is known."""
    assert judge([CLEAR, rejected(outcome(ImageState.PREPARED))]).reason is Reason.PENDING


@pytest.mark.parametrize("rejection", RIGHT_PATIENT)
def test_a_finding_on_the_right_patients_rejected_film_still_raises(rejection: Rejection) -> None:
    """A blurred film that is suspicious shows this patient: HIGH, with a word on what it rests on."""
    verdict = judge([CLEAR, rejected(SUSPICIOUS, rejection)])
    assert verdict.priority is Priority.HIGH
    assert RAISED_BY_REJECTED in verdict.warnings


@pytest.mark.parametrize("rejection", WRONG_PATIENT)
def test_a_finding_on_what_may_be_another_patients_film_raises_nothing(rejection: Rejection) -> None:
    """But it lowers nothing, either: a study that was raised by it stays HIGH until a reader withdraws that."""
    images = [CLEAR, rejected(SUSPICIOUS, rejection)]
    assert judge(images).priority is None
    raised = judge(images, raised=PriorityReason.FINDING)
    assert raised.priority is Priority.HIGH
    assert RAISED_BY_REJECTED in raised.warnings
    assert RAISED_BY_REJECTED not in judge([SUSPICIOUS, *images]).warnings
