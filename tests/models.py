"""Version directories made from the shipped model, and judgements on them, for the tests of promotion."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.model.artifact import (
    CARD_NAME,
    SCOPE_NAME,
    WEIGHTS_NAME,
    ModelCard,
    default_directory,
    load_card,
    save_card,
)
from worker.model.promotion import Promotion

STAND_IN = b"stand-in weights"


def small_version(directory: Path, version: str, **update: Any) -> ModelCard:
    """Write a whole version directory with a few bytes for weights, for tests that score nothing."""
    directory.mkdir(parents=True)
    (directory / WEIGHTS_NAME).write_bytes(STAND_IN)
    shutil.copy(default_directory() / SCOPE_NAME, directory)
    weights = hashlib.sha256(STAND_IN).hexdigest()
    return _save(directory, version=version, weights_sha256=weights, **update)


def real_version(directory: Path, version: str, *, threshold_logit: float | None = None, **update: Any) -> ModelCard:
    """Write a version directory with the shipped weights, at another threshold if one is given."""
    directory.mkdir(parents=True)
    for name in (WEIGHTS_NAME, SCOPE_NAME):
        (directory / name).symlink_to(default_directory() / name)
    if threshold_logit is not None:
        point = load_card(default_directory()).operating_point
        update["operating_point"] = point.model_copy(update={"threshold_logit": threshold_logit})
    return _save(directory, version=version, **update)


def judgement(champion: str, challenger: str, **figures: Any) -> Promotion:
    """What `cxr-train compare` would write of a challenger that is better in specificity."""
    favourable = {
        "champion": champion,
        "challenger": challenger,
        "cases_sha256": "c" * 64,
        "cases": 1000,
        "positive_patients": 400,
        "sensitivity_lost": 0,
        "sensitivity_gained": 0,
        "sensitivity_difference_at_least": -0.0092,
        "auc_difference": 0.0,
        "auc_difference_interval": (-0.01, 0.01),
        "specificity_difference": 0.05,
        "specificity_p": 0.001,
        "not_inferior": True,
        "better": ("specificity",),
        "promotable": True,
        "judged_at": datetime(2026, 11, 20, tzinfo=UTC),
    }
    return Promotion.model_validate({**favourable, **figures})


def write_judgement(path: Path, promotion: Promotion) -> Path:
    """Write a judgement as `cxr-train compare` does."""
    path.write_text(json.dumps(promotion.model_dump(mode="json")))
    return path


def _save(directory: Path, **update: Any) -> ModelCard:
    card = load_card(default_directory()).model_copy(update=update)
    (directory / CARD_NAME).unlink(missing_ok=True)
    save_card(card, directory)
    return card
