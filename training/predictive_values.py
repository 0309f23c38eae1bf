"""What a flag, and no flag, is worth where fewer people are sick than among the films of a test set. Pure."""

from pydantic import BaseModel, ConfigDict

PREVALENCES = (0.01, 0.02, 0.05, 0.10, 0.20, 0.50)


class PredictiveValues(BaseModel):
    """At one prevalence.

    Attributes:
        prevalence: share of sick patients among all films that come.
        ppv: share of the sick among the flagged; null if nothing is flagged.
        npv: share of the well among those not flagged; null if everything is flagged.
        flagged_per_1000, missed_per_1000: of a thousand films, how many are flagged, and how many sick ones are not.
    """

    model_config = ConfigDict(frozen=True)

    prevalence: float
    ppv: float | None
    npv: float | None
    flagged_per_1000: float
    missed_per_1000: float


def predictive_values(sensitivity: float, specificity: float) -> tuple[PredictiveValues, ...]:
    """Apply Bayes' theorem at each of `PREVALENCES`.

    Args:
        sensitivity, specificity: as measured, in [0, 1]; taken to be the same at every prevalence.

    Source: Altman and Bland, BMJ 309 (1994) 102.
    """
    return tuple(_at(prevalence, sensitivity, specificity) for prevalence in PREVALENCES)


def _at(prevalence: float, sensitivity: float, specificity: float) -> PredictiveValues:
    found, missed = prevalence * sensitivity, prevalence * (1 - sensitivity)
    spared, alarmed = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
    return PredictiveValues(
        prevalence=prevalence,
        ppv=found / (found + alarmed) if found + alarmed else None,
        npv=spared / (spared + missed) if spared + missed else None,
        flagged_per_1000=1000 * (found + alarmed),
        missed_per_1000=1000 * missed,
    )
