"""May a model take the place of the one in service? What its card and the judgement of `cxr-train compare` must say."""

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from worker.errors import PromotionError
from worker.model.artifact import ModelCard
from worker.model.promotion import Promotion

PROMOTION_NAME = "promotion.json"
LARGEST_LOSS = 0.01  # of sensitivity, as a lower bound of the paired difference
SIGNIFICANT = 0.05
_ROUNDING = 1e-9


def find_promotion(directory: Path) -> Path:
    """Return where a version directory's judgement lies: `promotion.json` in it, else beside it."""
    inside = directory / PROMOTION_NAME
    return inside if inside.exists() else directory.absolute().parent / PROMOTION_NAME


def read_promotion(path: Path) -> tuple[bytes, Promotion]:
    """Read a judgement; returns its bytes, too, whose hash names it in the audit trail.

    Raises:
        PromotionError: if it is absent or no judgement.
    """
    try:
        text = path.read_bytes()
        return text, Promotion.model_validate_json(text)
    except OSError as error:
        raise PromotionError(
            f"cannot read {path} ({error.strerror}): nothing is promoted without the judgement of `cxr-train compare`; "
            "name it with --promotion"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise PromotionError(f"{path} is no judgement ({where}: {first['msg']}): run `cxr-train compare`") from None


def check(promotion: Promotion, *, challenger: str, champion: str, withdrawn_at: datetime | None = None) -> None:
    """Refuse a judgement that is not of these two models, or does not allow the change by its own figures.

    Args:
        promotion: what `cxr-train compare` wrote.
        challenger: SHA-256 of the card that is to be put in service.
        champion: SHA-256 of the card that is in service.
        withdrawn_at: when the challenger was last rolled back; None if it never was. What was judged before does not
            know why.

    Raises:
        PromotionError: with what to do.
    """
    if challenger == champion:
        raise PromotionError("this model is in service already")
    if promotion.challenger != challenger:
        raise PromotionError(
            f"the judgement is of challenger {promotion.challenger}, this directory holds {challenger}: "
            "name the promotion.json that `cxr-train compare` wrote for this directory"
        )
    if promotion.champion != champion:
        raise PromotionError(
            f"the judgement is against model {promotion.champion}, in service is {champion}: "
            "compare with the model in service (`cxr-train compare --champion DIR`)"
        )
    if withdrawn_at is not None and promotion.judged_at <= withdrawn_at:
        raise PromotionError(
            f"this model was rolled back at {withdrawn_at:%Y-%m-%d %H:%M:%S} UTC, and judged at "
            f"{promotion.judged_at:%Y-%m-%d %H:%M:%S %Z}, not after that: run `cxr-train compare` again"
        )
    if contradiction := _contradiction(promotion):
        raise PromotionError(f"promotion.json contradicts itself ({contradiction}): run `cxr-train compare` again")
    if not promotion.promotable:
        why = "better in nothing" if promotion.not_inferior else "it may find fewer sick patients"
        raise PromotionError(f"not promotable: {why}; train on, or compare on more locked cases")


def check_promise(challenger: ModelCard, champion: ModelCard) -> None:
    """Refuse a threshold that promises no sensitivity, or less than the one in service does.

    Args:
        challenger: card of the model that is to be put in service.
        champion: card of the model that is in service; where it promises nothing itself, any promise will do.

    Raises:
        PromotionError: with what to do.
    """
    offered, kept = challenger.operating_point, champion.operating_point
    if not offered.promises:
        raise PromotionError(
            f"{challenger.name} {challenger.version} flags by {offered.method} and promises no sensitivity: "
            "certify a threshold with `cxr-train calibrate`, then compare that version"
        )
    pairs = {
        "sensitivity": (offered.target_sensitivity, kept.target_sensitivity),
        "confidence": (offered.confidence, kept.confidence),
    }
    if less := [f"{name} {new} (in service: {old})" for name, (new, old) in pairs.items() if (new or 0) < (old or 0)]:
        raise PromotionError(
            f"{challenger.name} {challenger.version} promises less than the model in service: {', '.join(less)}; "
            "certify it with `cxr-train calibrate` for at least these, then compare that version"
        )


def _contradiction(promotion: Promotion) -> str | None:
    """Hold the words of a judgement against its figures; they were written by a program, and files can be edited."""
    figures = {
        "sensitivity": promotion.sensitivity_gained > promotion.sensitivity_lost,
        "specificity": promotion.specificity_difference > 0 and promotion.specificity_p < SIGNIFICANT,
        "auc": promotion.auc_difference_interval[0] > 0,
    }
    patients, (low, high) = promotion.positive_patients, promotion.auc_difference_interval
    # Of n patients with none lost, Clopper and Pearson's bound of the loss is 1 - 0.025 ** (1 / n); never less.
    loss = max(promotion.sensitivity_lost / patients, 1 - 0.025 ** (1 / patients))
    if promotion.sensitivity_difference_at_least > promotion.sensitivity_gained / patients - loss + _ROUNDING:
        return "the bound of the difference in sensitivity lies above what so few patients can give"
    if not low <= promotion.auc_difference <= high:
        return "the difference in AUC lies outside its interval"
    if promotion.not_inferior != (promotion.sensitivity_difference_at_least > -LARGEST_LOSS):
        return "not_inferior is not what the bound of the difference in sensitivity says"
    if unfounded := [name for name in promotion.better if not figures[name]]:
        return f"not better in {', '.join(unfounded)} by its figures"
    if promotion.promotable != (promotion.not_inferior and bool(promotion.better)):
        return "promotable is not what not_inferior and better say"
    return None
