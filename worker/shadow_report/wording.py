"""Figures in words: a share of few cases as counts, and an interval with each."""

from worker.shadow_report.correction import Corrected
from worker.shadow_report.figure import FEW
from worker.shadow_report.shares import Share

NONE = "none to count"
_PER_CENT = "\N{NO-BREAK SPACE}%"


def figure(share: Share) -> str:
    """Say a share: `93.2 %`, `3 of 4` where there are few cases."""
    if share.value is None:
        return NONE
    return f"{share.part:,} of {share.whole:,}" if share.whole < FEW else per_cent(share.value)


def interval(share: Share | Corrected) -> str:
    """Say its interval: `86.1 to 97.0 %`; empty without cases."""
    if share.low is None or share.high is None:
        return ""
    return f"{_number(share.low)} to {_number(share.high)}{_PER_CENT}"


def sentence(share: Share) -> str:
    """Say a share with its counts and its interval, as in a running text."""
    if share.value is None:
        return NONE
    counts = "" if share.whole < FEW else f", {share.part:,} of {share.whole:,}"
    return f"{figure(share)}{counts} (95 % interval {interval(share)})"


def per_cent(value: float) -> str:
    """Say a value in [0, 1] as per cent; 100 and 0 only if it is just that."""
    return f"{_number(value)}{_PER_CENT}"


def _number(value: float) -> str:
    return f"{value:.0%}"[:-1] if value in (0, 1) else f"{min(max(100 * value, 0.1), 99.9):.1f}"
