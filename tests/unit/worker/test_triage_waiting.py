"""What is said of a study that was raised for its waiting time."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_io.rejection import Rejection
from worker.domain import FINDING, ImageState, Prediction, Priority, PriorityReason, ScreeningStatus
from worker.triage import RAISED_BY_REJECTED, ImageOutcome, judge


def outcome(*, flagged: bool, rejection: Rejection | None, withdrawn: bool) -> ImageOutcome:
    """A scored image."""
    scored = Prediction(
        sop_instance_uid="2.25.1",
        content_sha256="c" * 64,
        frame=1,
        status=ScreeningStatus.SCREENED,
        probability=0.5,
        flagged=flagged,
    )
    return ImageOutcome(ImageState.SCORED, None, (), (scored,), rejection, withdrawn)


images = st.builds(
    outcome, flagged=st.booleans(), rejection=st.none() | st.sampled_from(Rejection), withdrawn=st.booleans()
)


@given(st.lists(images, max_size=4), st.none() | st.sampled_from(PriorityReason))
def test_a_finding_is_said_of_nothing_but_a_flagged_study(
    outcomes: list[ImageOutcome], raised: PriorityReason | None
) -> None:
    """Who merely waited is HIGH without a finding, and no rejected film is said to have raised it."""
    verdict = judge(outcomes, raised=raised)
    flagged = raised is PriorityReason.FINDING or any(image.raises for image in outcomes)
    assert (verdict.finding, verdict.priority_reason is PriorityReason.FINDING) == (
        FINDING if flagged else None,
        flagged,
    )
    assert verdict.priority is (Priority.HIGH if flagged or raised else None)
    assert flagged or RAISED_BY_REJECTED not in verdict.warnings
