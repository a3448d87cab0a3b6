"""The formulas of reports and comparisons, each with its source."""

from __future__ import annotations

from math import comb, sqrt
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95


class Interval(BaseModel):
    """A confidence interval."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float


class Pairs(BaseModel):
    """What became of pairs of attempts: one of A, one of B, at the same task and repeat."""

    model_config = ConfigDict(frozen=True)

    both: int
    """Passed in A and in B."""
    only_a: int
    only_b: int
    neither: int

    @property
    def total(self) -> int:
        """How many pairs there are."""
        return self.both + self.only_a + self.only_b + self.neither


def wilson(passed: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a proportion, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212; method 3
    of R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872. It takes the attempts to be independent.

    Args:
        passed: Successes.
        total: Trials; of none nothing is known, and the interval is 0 to 1.
        confidence: Between 0 and 1.
    """
    if total == 0:
        return Interval(low=0.0, high=1.0)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate = passed / total
    middle = rate + z2 / (2 * total)
    half = sqrt(z2 * (rate * (1 - rate) + z2 / (4 * total)) / total)
    scale = 1 + z2 / total
    low = 0.0 if passed == 0 else (middle - half) / scale  # rounding must not leave the bounds
    return Interval(low=low, high=1.0 if passed == total else (middle + half) / scale)


def pass_at_k(attempts: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of the chance that at least one of k attempts at a task passes.

    M. Chen et al., "Evaluating large language models trained on code", arXiv:2107.03374 (2021), equation 1:
    1 - C(n - c, k) / C(n, k).

    Args:
        attempts: n, the attempts made.
        passed: c, those that passed.
        k: At most n.
    """
    return 1 - comb(attempts - passed, k) / comb(attempts, k)


def mcnemar_exact(pairs: Pairs) -> float:
    """Return the two-sided p-value of McNemar's exact conditional test: half of the changes go either way by chance.

    Q. McNemar, Psychometrika 12 (1947) 153-157; the exact form as in M. W. Fagerland et al., BMC Medical Research
    Methodology 13:91 (2013), who show that it errs on the safe side.
    """
    changed = pairs.only_a + pairs.only_b
    tail = sum(comb(changed, count) for count in range(min(pairs.only_a, pairs.only_b) + 1))
    return min(1.0, 2 * tail / (1 << changed))


def paired_difference(pairs: Pairs, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the rate of B minus that of A, for pairs of which there is at least one.

    R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17 (1998) 2635-2650, method 10: two Wilson intervals, squared and added, with the correlation
    of the pairs, itself corrected for continuity.
    """
    total, in_a, in_b = pairs.total, pairs.both + pairs.only_a, pairs.both + pairs.only_b
    a, b = wilson(in_a, total, confidence), wilson(in_b, total, confidence)
    rate_a, rate_b = in_a / total, in_b / total
    phi = _correlation(pairs)
    return Interval(
        low=rate_b - rate_a - _added(rate_b - b.low, a.high - rate_a, phi),
        high=rate_b - rate_a + _added(b.high - rate_b, rate_a - a.low, phi),
    )


def _added(one: float, other: float, phi: float) -> float:
    return sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))


def _correlation(pairs: Pairs) -> float:
    total, in_a, in_b = pairs.total, pairs.both + pairs.only_a, pairs.both + pairs.only_b
    margins = in_a * (total - in_a) * in_b * (total - in_b)
    if margins == 0:
        return 0.0
    product = pairs.both * pairs.neither - pairs.only_a * pairs.only_b
    corrected = max(product - total / 2, 0.0) if product > 0 else product
    return corrected / sqrt(margins)
