"""How a combination's neighbours do: a best that stands alone was found by luck, one on a plateau may stay."""

from __future__ import annotations

from itertools import product

import numpy as np

from quantlab.backtest.records import Floats
from quantlab.backtest.search import Swept

#: Places of a space that are looked at; beyond them a map would be of no use and of gigabytes.
_MOST_PLACES = 5_000_000


def neighbourhood(swept: Swept) -> Floats:
    """(combinations,): the mean score of each combination and of what was tried one step away in any parameters; NaN
    where it has no score itself, or where the space is past all maps."""
    names = list(swept.space.values)
    lengths = [len(swept.space.values[name]) for name in names]
    if np.prod([length + 2 for length in lengths], dtype=float) > _MOST_PLACES:
        return np.full(len(swept.trials), np.nan)
    places = places_of(swept)
    scores = np.where(np.isfinite(swept.scores), swept.scores, np.nan)
    # With a border of nothing, a step over the edge meets nothing.
    grid = np.full([length + 2 for length in lengths], np.nan)
    grid[tuple(places.T + 1)] = scores
    total, count = np.zeros(len(scores)), np.zeros(len(scores))
    for step in product((-1, 0, 1), repeat=len(names)):
        beside = grid[tuple((places + 1 + np.array(step)).T)]
        total += np.nan_to_num(beside)
        count += ~np.isnan(beside)
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(scores), np.nan, total / count)


def most_stable(swept: Swept) -> int:
    """The number of the combination whose neighbourhood is best; the best itself where there is none."""
    around = neighbourhood(swept)
    return swept.best if np.all(np.isnan(around)) else int(np.nanargmax(around))


def places_of(swept: Swept) -> np.ndarray:
    """(combinations, parameters): where in its list each value stands."""
    of = [{value: at for at, value in enumerate(values)} for values in swept.space.values.values()]
    rows = [[at[value] for at, value in zip(of, given.values(), strict=True)] for given in swept.parameters]
    return np.array(rows, dtype=np.int64)
