"""Is the best of many combinations more than the luckiest? What is held out, and how the choice does there.

Returns are (combinations, samples). A choice is made by the Sharpe ratio over some of the samples and judged by the
others. Ratios are of the samples' own period. Candles of a sample never decide in another: between what is chosen on
and what is held out, samples on both sides of a boundary can be left out (purged before, embargoed after), since a
position that is open there belongs to both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from quantlab.backtest.metrics import sharpe_of_sums
from quantlab.backtest.records import Floats, Ints
from quantlab.model import ConfigurationError

#: Splits that are scored at a time: 1,000 combinations of them are 2 MB.
_BATCH = 256


@dataclass(frozen=True)
class Overfitting:
    """`probability` that the best combination of one half of the samples is below the median of the other half.
    `logits` (splits,): of its rank there, below 0 where it is below the median. `chosen_sharpe` and `held_out_sharpe`
    (splits,): its ratio, annual, where it was chosen and where it was not; `loss_probability`: how often the second is
    below 0."""

    probability: float
    loss_probability: float
    logits: Floats
    chosen_sharpe: Floats
    held_out_sharpe: Floats


def probability_of_overfitting(returns: Floats, per_year: float, *, blocks: int = 16) -> Overfitting:
    """Combinatorially symmetric cross-validation: every half of `blocks` blocks of samples chooses, the other half
    judges. D. H. Bailey, J. Borwein, M. López de Prado and Q. J. Zhu, "The probability of backtest overfitting",
    Journal of Computational Finance 20 (2017). Raises ConfigurationError where there is too little to split."""
    trials, samples = returns.shape
    if trials < 2:
        raise ConfigurationError("one combination alone cannot be overfitted: give a grid of several")
    if blocks % 2 or not 4 <= blocks <= 20:
        raise ConfigurationError(f"blocks must be an even number from 4 to 20, not {blocks}")
    if samples < 2 * blocks:
        raise ConfigurationError(f"{samples} samples are too few for {blocks} blocks: use more candles")
    sums = _Sums(returns, np.linspace(0, samples, blocks + 1).astype(np.int64))
    halves = list(combinations(range(blocks), blocks // 2))
    masks = np.zeros((len(halves), blocks))
    for row, half in enumerate(halves):
        masks[row, list(half)] = 1.0
    ranks, inside, outside = (np.empty(len(halves)) for _ in range(3))
    for at in range(0, len(halves), _BATCH):
        mask = masks[at : at + _BATCH]
        rows = np.arange(len(mask))
        chosen, inside[at : at + len(mask)] = sums.best(mask)
        held_out = sums.sharpe(1.0 - mask)
        of_chosen = held_out[rows, chosen]
        outside[at : at + len(mask)] = of_chosen
        below = np.sum(held_out < of_chosen[:, None], axis=1)
        same = np.sum(held_out == of_chosen[:, None], axis=1)
        ranks[at : at + len(mask)] = (below + (same + 1) / 2) / (trials + 1)
    logits = np.log(ranks / (1.0 - ranks))
    annual = math.sqrt(per_year)
    return Overfitting(
        probability=float(np.mean(logits <= 0)),
        loss_probability=float(np.mean(outside < 0)),
        logits=logits,
        chosen_sharpe=inside * annual,
        held_out_sharpe=outside * annual,
    )


@dataclass(frozen=True)
class Paths:
    """Histories put together from held-out groups only, each sample once: `sharpe` (paths,) annual, `returns` (paths,
    samples). `chosen` (splits,) is the number of the combination that each split chose, `held_out` its groups."""

    sharpe: Floats
    returns: Floats
    chosen: Ints
    held_out: tuple[tuple[int, ...], ...]


def combinatorial_paths(
    returns: Floats, per_year: float, *, groups: int = 10, held_out: int = 2, purge: int = 1, embargo: int = 1
) -> Paths:
    """Combinatorial purged cross-validation: each choice of `held_out` groups out of `groups` is judged by the
    combination that is best over the others, less `purge` samples before each held-out group and `embargo` after it.
    M. López de Prado, "Advances in Financial Machine Learning" (2018), chapter 12. Raises ConfigurationError."""
    samples = returns.shape[1]
    if not 1 <= held_out < groups or groups > 20:
        raise ConfigurationError(f"hold out at least one group of at most 20, and not all: {held_out} of {groups}")
    if purge < 0 or embargo < 0 or samples // groups < purge + embargo + 2:
        raise ConfigurationError(
            f"{samples} samples are too few for {groups} groups with {purge} purged and {embargo} embargoed"
        )
    bounds = np.linspace(0, samples, groups + 1).astype(np.int64)
    # Each group in three: what an embargo takes, what is always there, what a purge takes.
    edges = np.unique(np.concatenate([bounds, bounds[:-1] + embargo, bounds[1:] - purge]))
    starts = edges[:-1]
    group_of = np.searchsorted(bounds, starts, side="right") - 1
    splits = list(combinations(range(groups), held_out))
    masks = np.ones((len(splits), len(starts)))
    for row, split in enumerate(splits):
        for group in split:
            begin, end = bounds[group], bounds[group + 1]
            masks[row, (starts >= begin - purge) & (starts < end + embargo)] = 0.0
        masks[row, np.isin(group_of, split)] = 0.0
    chosen, _ = _Sums(returns, edges).best(masks)
    paths = len(splits) * held_out // groups
    woven = np.empty((paths, samples))
    filled = [0] * groups
    for number, split in zip(chosen, splits, strict=True):
        for group in split:
            part = slice(bounds[group], bounds[group + 1])
            woven[filled[group], part] = returns[number, part]
            filled[group] += 1
    deviation = woven.std(axis=1, ddof=1)
    ratio = np.divide(woven.mean(axis=1), deviation, out=np.zeros(paths), where=deviation > 1e-15)
    return Paths(ratio * math.sqrt(per_year), woven, chosen, tuple(splits))


class _Sums:
    """Sharpe ratios over any union of blocks, from what adds up: counts, sums and sums of squares of the returns."""

    def __init__(self, returns: Floats, edges: NDArray[np.int64]) -> None:
        self._counts = np.diff(edges).astype(np.float64)
        self._first = np.add.reduceat(returns, edges[:-1], axis=1).T
        self._second = np.add.reduceat(returns**2, edges[:-1], axis=1).T

    def sharpe(self, masks: Floats) -> Floats:
        """(masks, combinations); 0 for one that did nothing."""
        return sharpe_of_sums((masks @ self._counts)[:, None], masks @ self._first, masks @ self._second)

    def best(self, masks: Floats) -> tuple[Ints, Floats]:
        """Of each mask: the number of the best combination, and its ratio."""
        ratios = self.sharpe(masks)
        chosen = np.argmax(ratios, axis=1)
        return chosen, ratios[np.arange(len(masks)), chosen]
