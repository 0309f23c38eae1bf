"""Warnings for films that the model was not made for; they are screened all the same."""

from worker.model.artifact import ModelCard


def age_warnings(card: ModelCard, years: float | None) -> tuple[str, ...]:
    """Return a warning if the patient's age is unknown or outside the card's intended ages.

    Args:
        card: of the model that screens.
        years: the patient's age at the study; None if the header does not tell.
    """
    if years is None:
        return ("patient age unknown: the model's intended ages cannot be checked",)
    if card.intended_ages.includes(years):
        return ()
    ages = card.intended_ages
    return (f"patient age outside the model's intended ages ({ages.at_least:g} to {ages.below:g} years)",)
