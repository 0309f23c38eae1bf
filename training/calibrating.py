"""Certifying a published model again on a site's own films: the same weights, another threshold."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from training.certifying import Judged, measured, operating_point, score_in_served_precisions
from training.datasets import find_cases
from training.errors import DataError, OutputError
from training.films import load_films, without_duplicates
from worker.model.artifact import SCOPE_NAME, WEIGHTS_NAME, ModelCard, load_card, save_card
from worker.model.network import load_network

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,31}")


def calibrate(
    model: Path,
    data: Path,
    output: Path,
    *,
    site: str,
    target: float,
    confidence: float,
    advance: Callable[[], None] = lambda: None,
) -> ModelCard:
    """Write a version directory with the model's weights and a threshold certified on local films.

    The figures of the old threshold are left out of the new card: they are not true of it.

    Args:
        model: version directory.
        data: labelled films of the site, all of patients that the model has not seen.
        output: folder of the new version, made where absent.
        site: short name, appended to the version as `+site`.
        target: least sensitivity.
        confidence: of the promise.
        advance: called after each film read.

    Returns:
        The new card.

    Raises:
        CannotCertifyError: if the positive patients are too few; it says how many are needed.
        DataError: if the data cannot be used, a film cannot be read, or the site's name has other characters than
            letters, digits and dots.
        ModelError: if the model is damaged.
        OutputError: if the output is the model's own folder.
    """
    site = checked_site(site)
    if output.resolve() == model.resolve():
        raise OutputError(f"{output} holds the model itself; name another folder with --output")
    card = load_card(model)
    films, unreadable = load_films(find_cases(data), card.input_spec, advance)
    if unreadable:
        raise DataError(
            f"{len(unreadable)} films cannot be read, first: {unreadable[0].name} ({unreadable[0].cause}); "
            "a promise over the readable ones only would be none: mend or unlist them"
        )
    judged = Judged(f"local films of {site}; they also chose the threshold", without_duplicates(films))
    logits, margin = score_in_served_precisions(load_network(model, card), judged.films.pixels)
    point = operating_point(logits, judged, target=target, confidence=confidence, margin=margin)
    version = f"{card.version.partition('+')[0]}+{site}"
    local = {"version": version, "operating_point": point, "measurements": (measured(judged, logits, point),)}
    output.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS_NAME, SCOPE_NAME):
        shutil.copyfile(model / name, output / name)
    certified = card.model_copy(update=local)
    save_card(certified, output)
    return certified


def checked_site(site: str) -> str:
    """Return the name of a site, which becomes part of a version.

    Raises:
        DataError: if it has other characters than letters, digits and dots, or is too long.
    """
    if not _SITE.fullmatch(site):
        raise DataError(f"site {site!r}: use up to 32 letters, digits and dots")
    return site
