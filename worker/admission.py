"""May a model take the place of the one in service? The judgement of `cxr-train compare`, and what it must say."""

from pathlib import Path

from pydantic import ValidationError

from worker.errors import PromotionError
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


def check(promotion: Promotion, *, challenger: str, champion: str) -> None:
    """Refuse a judgement that is not of these two models, or does not allow the change by its own figures.

    Args:
        promotion: what `cxr-train compare` wrote.
        challenger: SHA-256 of the card that is to be put in service.
        champion: SHA-256 of the card that is in service.

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
    if contradiction := _contradiction(promotion):
        raise PromotionError(f"promotion.json contradicts itself ({contradiction}): run `cxr-train compare` again")
    if not promotion.promotable:
        why = "better in nothing" if promotion.not_inferior else "it may find fewer sick patients"
        raise PromotionError(f"not promotable: {why}; train on, or compare on more locked cases")


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
