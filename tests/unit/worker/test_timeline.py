"""The audit trail in words."""

from typing import Any

import pytest

from worker.timeline import sentence

UID = "2.25.1"
SCORED = {"image_id": 7, "reason": None, "error": None, "model": "resnet50 1.0.0"}


@pytest.mark.parametrize(
    ("kind", "detail", "told"),
    [
        (
            "image-received",
            {"image_id": 7, "receipt": "new", "sop_instance_uid": UID, "calling_ae_title": "PACS1"},
            "received image 7 from PACS1 (SOP instance 2.25.1)",
        ),
        (
            "image-received",
            {"receipt": "duplicate", "sop_instance_uid": UID, "calling_ae_title": "PACS1"},
            "received an image from PACS1 again, the same bytes (SOP instance 2.25.1)",
        ),
        ("image-prepared", {"image_id": 7, "reason": None}, "image 7 prepared"),
        (
            "study-rescreened",
            {"rescreen_id": 3, "model": "m 2", "flagged": False, "probability": 0.1, "threshold": 0.25},
            "re-screening 3 by m 2: no longer flagged, recorded only, probability 0.1000, threshold 0.2500",
        ),
        (
            "rescreen-stopped",
            {"rescreen_id": 3, "model": "m 2", "by": "me@host", "frames": 9, "told": 0},
            "re-screening 3 stopped by me@host: 9 frames, 0 studies told",
        ),
        (
            "image-scored",
            {**SCORED, "frames": 1, "probability": 0.5, "threshold": 0.25, "flagged": True},
            "image 7 scored by resnet50 1.0.0: flagged, probability 0.5000, threshold 0.2500",
        ),
        (
            "image-scored",
            {**SCORED, "frames": 3, "probability": 0.125, "threshold": 0.25, "flagged": False},
            "image 7 scored by resnet50 1.0.0: not flagged, probability 0.1250, threshold 0.2500, highest of 3 frames",
        ),
        (
            "image-failed",
            {"image_id": 7, "reason": "attempts-exhausted", "error": "ValueError"},
            "image 7 set aside: attempts-exhausted, ValueError",
        ),
        (
            "image-retry",
            {"image_id": 7, "step": "score", "frame": 2, "attempts": 1, "error": "ValueError"},
            "scoring frame 2 of image 7 is tried again: ValueError",
        ),
        (
            "result",
            {"result_uid": UID, "stage": "early", "status": "UNSCREENED", "reason": "pending", "priority": "HIGH"},
            "said: UNSCREENED, pending, priority HIGH (first word, result 2.25.1)",
        ),
        (
            "delivered",
            {"destination": "pacs", "result_uid": UID, "answer": "stored, status 0x0000"},
            "delivered to pacs: stored, status 0x0000 (result 2.25.1)",
        ),
        ("delivery-dead", {"destination": "pacs", "result_uid": UID}, "dead letter to pacs (result 2.25.1)"),
        (
            "flag-withdrawn",
            {"result_uid": UID, "by": "me@host", "reason": "a nipple shadow", "sop_instance_uids": ["2.25.2"]},
            "flag withdrawn by me@host: a nipple shadow (result 2.25.1)",
        ),
        (
            "images-rejected",
            {"note_sop_instance_uid": UID, "rejection": "113001", "sop_instance_uids": ["2.25.2", "2.25.3"]},
            "rejected as 113001 by note 2.25.1: SOP instance 2.25.2, 2.25.3",
        ),
        (
            "rejection-note",
            {"sop_instance_uid": UID, "rejection": "113001", "objects": 3, "images": 2},
            "rejection note 2.25.1 (113001) names 3 objects, 2 of them images here",
        ),
        (
            "study-corrected",
            {"attributes": ["PatientID", "PatientName"], "corrections": 1},
            "correction 1 of what is known of patient and study: PatientID, PatientName",
        ),
        (
            "commitment-checked",
            {"transaction_uid": UID, "calling_ae_title": "CR1", "references": 2, "failed": 1},
            "storage commitment for CR1 decided: 2 objects, 1 failed (transaction 2.25.1)",
        ),
        (
            "reconciled",
            {"pacs": "PACS1", "images": 3, "here": 1, "fetched": 0, "missing": 2, "refused": 2, "reason": "no room"},
            "PACS1 was asked what it has: 3 images, 1 here before, 2 still missing: no room",
        ),
        (
            "reconciled",
            {"pacs": "PACS1", "images": 0, "here": 0, "fetched": 0, "missing": 0, "reason": "no answer"},
            "PACS1 was asked what it has: 0 images: no answer",
        ),
        (
            "destination-form",
            {"destination": "pacs", "form": "secondary-capture", "before": "comprehensive-sr", "result_uid": UID},
            "pacs takes reports as secondary-capture, not as comprehensive-sr (result 2.25.1)",
        ),
        (
            "delivery-overtaken",
            {"destination": "pacs", "result_uid": UID},
            "left out for pacs, which has a later result (result 2.25.1)",
        ),
        (
            "delivery-committed",
            {"destination": "pacs", "result_uid": UID, "answer": None},
            "pacs committed to store the report (result 2.25.1)",
        ),
        (
            "delivery-uncommitted",
            {"destination": "pacs", "result_uid": UID, "answer": "reason 0x0110"},
            "pacs did not commit to store the report: reason 0x0110 (result 2.25.1)",
        ),
        ("purged", {"images": 2}, "retention removed the received files of 2 images"),
        ("command", {"command": "purge", "by": "me@host", "files": 3}, "me@host ran purge files=3"),
        ("of-a-later-version", {"a": 1, "b": None}, "of-a-later-version a=1"),
    ],
)
def test_an_event_is_told_in_a_sentence(kind: str, detail: dict[str, Any], told: str) -> None:
    """Who, what, and why; an unknown kind is told as it is."""
    assert sentence(kind, detail) == told
