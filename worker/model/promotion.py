"""The judgement that lets one model replace another; `cxr-train compare` writes it."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Digest = str


class Promotion(BaseModel):
    """What was compared, on which cases, and what came of it.

    Attributes:
        champion, challenger: SHA-256 of the two cards.
        cases_sha256: hash over the cases' sorted lines `<SHA-256 of the prepared pixels> <label>`.
        cases, positive_patients: how many films, and how many patients with a positive film.
        sensitivity_lost, sensitivity_gained: positive patients that only the champion flags, and only the challenger.
        sensitivity_difference_at_least: lower bound of challenger minus champion, patients, 95 % one-sided.
        auc_difference, auc_difference_interval: challenger minus champion over films, paired, 95 %.
        specificity_difference: challenger minus champion over films, each at its own threshold.
        specificity_p: exact McNemar test of that difference, two-sided.
        not_inferior: whether that lower bound is above minus one point.
        better: in what the challenger is better, if in anything.
        promotable: not inferior, and better in something.
        judged_at: when; with its time zone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    champion: Digest = Field(pattern=r"^[0-9a-f]{64}$")
    challenger: Digest = Field(pattern=r"^[0-9a-f]{64}$")
    cases_sha256: Digest = Field(pattern=r"^[0-9a-f]{64}$")
    cases: int = Field(ge=1)
    positive_patients: int = Field(ge=1)
    sensitivity_lost: int = Field(ge=0)
    sensitivity_gained: int = Field(ge=0)
    sensitivity_difference_at_least: float
    auc_difference: float
    auc_difference_interval: tuple[float, float]
    specificity_difference: float
    specificity_p: float
    not_inferior: bool
    better: tuple[Literal["sensitivity", "specificity", "auc"], ...]
    promotable: bool
    judged_at: AwareDatetime
