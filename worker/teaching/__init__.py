"""Readers' verdicts as labelled, de-identified films for the training package."""
