"""The audit trail in words, for people: one sentence per event."""

from collections.abc import Callable, Mapping
from typing import Any

Detail = Mapping[str, Any]


def sentence(kind: str, detail: Detail) -> str:
    """Tell an event.

    Args:
        kind: of the event.
        detail: its ids and codes.

    Returns:
        A sentence; for a kind that has none here, the kind and its details as they are.
    """
    tell = _SENTENCES.get(kind)
    return _plain(kind, detail) if tell is None else tell(detail)


def _plain(kind: str, detail: Detail) -> str:
    return " ".join([kind, *(f"{name}={value}" for name, value in detail.items() if value is not None)])


def _because(detail: Detail, *names: str) -> str:
    told = [str(detail[name]) for name in names if detail.get(name)]
    return f": {', '.join(told)}" if told else ""


def _received(detail: Detail) -> str:
    how = {"new": "", "duplicate": " again, the same bytes", "replacement": ", in place of an older one"}
    return (
        f"received {_image(detail)}from {detail['calling_ae_title']}{how.get(detail['receipt'], '')} "
        f"(SOP instance {detail['sop_instance_uid']})"
    )


def _recorded(detail: Detail) -> str:
    sender, uid = detail["calling_ae_title"], detail["sop_instance_uid"]
    return f"received an object of ours or without pixels from {sender}, recorded only (SOP instance {uid})"


def _image(detail: Detail) -> str:
    return f"image {detail['image_id']} " if detail.get("image_id") else "an image "


def _outcome(what: str) -> Callable[[Detail], str]:
    return lambda detail: f"{_image(detail)}{what}{_because(detail, 'reason', 'error')}{_score(detail)}"


def _score(detail: Detail) -> str:
    if detail.get("probability") is None:
        return ""
    side = "flagged" if detail["flagged"] else "not flagged"
    frames = "" if detail["frames"] == 1 else f", highest of {detail['frames']} frames"
    numbers = f"probability {detail['probability']:.4f}, threshold {detail['threshold']:.4f}{frames}"
    return f" by {detail['model']}: {side}, {numbers}"


def _retry(detail: Detail) -> str:
    frame = f"frame {detail['frame']} of " if detail.get("frame") else ""
    step = {"prepare": "preparing", "score": "scoring"}[detail["step"]]
    return f"{step} {frame}{_image(detail)}is tried again{_because(detail, 'error')}"


def _result(detail: Detail) -> str:
    said = _STAGES.get(detail["stage"], detail["stage"])
    reason = f", {detail['reason']}" if detail.get("reason") else ""
    priority = f", priority {detail['priority']}" if detail.get("priority") else ""
    priority += " for its waiting time, without a finding" if detail.get("priority_reason") == "waiting-time" else ""
    return f"said: {detail['status']}{reason}{priority} ({said}, result {detail['result_uid']})"


def _delivery(what: str) -> Callable[[Detail], str]:
    return lambda d: what.format(d["destination"]) + f"{_because(d, 'answer')} (result {d['result_uid']})"


def _form(detail: Detail) -> str:
    now, before = detail["form"], detail["before"]
    return f"{detail['destination']} takes reports as {now}, not as {before} (result {detail['result_uid']})"


def _put_back(detail: Detail) -> str:
    return f"{_image(detail)}was taken out of quarantine by {detail['by']}"


def _delivery_put_back(detail: Detail) -> str:
    return f"dead letter to {detail['destination']} put back by {detail['by']} (result {detail['result_uid']})"


def _purged(detail: Detail) -> str:
    return f"retention removed the received files of {detail['images']} image{'s' if detail['images'] > 1 else ''}"


def _command(detail: Detail) -> str:
    rest = {name: value for name, value in detail.items() if name not in {"command", "by"}}
    return f"{detail['by']} ran {_plain(detail['command'], rest)}"


def _withdrawn(detail: Detail) -> str:
    return f"flag withdrawn by {detail['by']}: {detail['reason']} (result {detail['result_uid']})"


def _rejected(detail: Detail) -> str:
    what, note = ", ".join(detail["sop_instance_uids"]), detail["note_sop_instance_uid"]
    return f"rejected as {detail['rejection']} by note {note}: SOP instance {what}"


def _note(detail: Detail) -> str:
    counts = f"{detail['objects']} objects, {detail['images']} of them images here"
    return f"rejection note {detail['sop_instance_uid']} ({detail['rejection']}) names {counts}"


def _corrected(detail: Detail) -> str:
    return (
        f"correction {detail['corrections']} of what is known of patient and study: {', '.join(detail['attributes'])}"
    )


def _rescreen_started(detail: Detail) -> str:
    what = "re-screening that delivers" if detail["deliver"] else "re-screening"
    window = f"from {detail['since'][:16]} to {detail['until'][:16]}"
    return f"{what} {detail['rescreen_id']} {window} with {detail['model']}: {detail['frames']} frames, {detail['by']}"


def _rescreen_ended(how: str) -> Callable[[Detail], str]:
    def tell(detail: Detail) -> str:
        by = f" by {detail['by']}" if detail.get("by") else ""
        return (
            f"re-screening {detail['rescreen_id']} {how}{by}: {detail['frames']} frames, {detail['told']} studies told"
        )

    return tell


def _rescreened(detail: Detail) -> str:
    said = "newly flagged" if detail["flagged"] else "no longer flagged, recorded only"
    numbers = f"probability {detail['probability']:.4f}, threshold {detail['threshold']:.4f}"
    return f"re-screening {detail['rescreen_id']} by {detail['model']}: {said}, {numbers}"


def _verdict(detail: Detail) -> str:
    said = "a flag" if detail["flagged"] else f"{detail['status'] or 'nothing'} without a flag"
    return f"reader {detail['by']} {detail['verdict']} with {said} (verdict {detail['verdict_id']})"


def _reconciled(detail: Detail) -> str:
    counts = "".join(f", {detail[name]} {said}" for name, said in _COUNTS.items() if detail.get(name))
    return f"{detail['pacs']} was asked what it has: {detail['images']} images{counts}{_because(detail, 'reason')}"


_STAGES = {
    "early": "first word",
    "overdue": "overdue notice",
    "complete": "conclusion",
    "withdrawn": "withdrawal",
    "rescreened": "re-screening",
    "waiting": "unread for too long",
}
_COUNTS = {"here": "here before", "fetched": "fetched now", "missing": "still missing"}


def _commitment(what: str) -> Callable[[Detail], str]:
    def tell(detail: Detail) -> str:
        failed = f", {detail['failed']} failed" if detail.get("failed") else ""
        count = detail["references"]
        objects = f"{count} object{'s' if count > 1 else ''}{failed}"
        return f"{what.format(detail['calling_ae_title'])}: {objects} (transaction {detail['transaction_uid']})"

    return tell


_SENTENCES: dict[str, Callable[[Detail], str]] = {
    "image-received": _received,
    "object-recorded": _recorded,
    "image-prepared": _outcome("prepared"),
    "image-scored": _outcome("scored"),
    "image-out-of-scope": _outcome("is not for screening"),
    "image-failed": _outcome("set aside"),
    "image-retry": _retry,
    "image-put-back": _put_back,
    "result": _result,
    "delivered": _delivery("delivered to {}"),
    "delivery-retry": _delivery("not delivered to {}, is tried again"),
    "delivery-dead": _delivery("dead letter to {}"),
    "delivery-overtaken": _delivery("left out for {}, which has a later result"),
    "delivery-committed": _delivery("{} committed to store the report"),
    "delivery-uncommitted": _delivery("{} did not commit to store the report"),
    "destination-form": _form,
    "delivery-put-back": _delivery_put_back,
    "flag-withdrawn": _withdrawn,
    "images-rejected": _rejected,
    "rejection-note": _note,
    "study-corrected": _corrected,
    "study-read": lambda detail: f"read, says {detail['by']}",
    "study-unread": lambda detail: f"unread again: a new image came after it was read ({detail['sop_instance_uid']})",
    "reader-verdict": _verdict,
    "commitment-requested": _commitment("{} asked for storage commitment"),
    "commitment-checked": _commitment("storage commitment for {} decided"),
    "commitment-reported": _commitment("storage commitment report acknowledged by {}"),
    "commitment-dead": _commitment("storage commitment report never reached {}"),
    "rescreen-started": _rescreen_started,
    "rescreen-finished": _rescreen_ended("finished"),
    "rescreen-stopped": _rescreen_ended("stopped"),
    "study-rescreened": _rescreened,
    "purged": _purged,
    "reconciled": _reconciled,
    "command": _command,
    "user-added": lambda detail: f"user {detail['user']} added by {detail['by']}, role {detail['role']}",
    "user-password": lambda detail: f"user {detail['user']}: password changed by {detail['by']}",
    "user-disabled": lambda detail: f"user {detail['user']} kept out by {detail['by']}",
    "user-enabled": lambda detail: f"user {detail['user']} let in again by {detail['by']}",
    "signed-in": lambda detail: f"user {detail['user']} signed in",
    "sign-in-refused": lambda detail: f"{detail['failures']} wrong passwords for {detail['user'] or 'nobody we know'}",
}
