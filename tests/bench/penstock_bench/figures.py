"""Arithmetic of samples."""
import math


def percentile(ordered: list[float], p: float) -> float:
    """The smallest sample that p % of them do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]
