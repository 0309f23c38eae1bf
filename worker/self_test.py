"""Asking a loaded model for the answer that its card promises."""

import hashlib

import numpy as np

from dicom_io.phantom import self_test_pixels
from worker.errors import ModelError
from worker.inference import Engine


def require_self_test(engine: Engine) -> None:
    """Ask a model for its answer to the drawn phantom, in the precision that it is served in.

    Raises:
        ModelError: if it is not the one that the card states.
    """
    pixels, expected = self_test_pixels(), engine.card.self_test
    if hashlib.sha256(pixels.tobytes()).hexdigest() != expected.pixels_sha256:
        raise ModelError(
            f"model {engine.card.version}: its self test is of another version of cxr-triage; publish it again"
        )
    logit = float(engine.score(pixels[np.newaxis]).logits[0])
    if not abs(logit - expected.logit) <= expected.tolerance:  # so that no number is refused, too
        raise ModelError(
            f"model {engine.card.version} answers its self test with {logit:.3f} instead of {expected.logit:.3f} in "
            f"{engine.precision}: the weights are not those that the card was written for, or this host computes "
            "wrongly; publish the model again, or take the host out of service"
        )
