"""Promise: what is held out never helps to choose, and the two measures are what their papers say."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from quantlab.backtest.metrics import sharpe
from quantlab.backtest.overfitting import combinatorial_paths, probability_of_overfitting
from quantlab.backtest.records import Floats
from quantlab.model import ConfigurationError


def noise(trials: int, samples: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.01, (trials, samples))


def plainly(returns: Floats, blocks: int) -> tuple[list[float], list[float]]:
    """(logits, held-out ratios), word by word from the paper: split, choose, rank."""
    parts = np.split(np.arange(returns.shape[1]), blocks)
    logits, outside = [], []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[n] for n in half])
        rest = np.concatenate([parts[n] for n in range(blocks) if n not in half])
        best = max(range(len(returns)), key=lambda n: sharpe(returns[n, inside], 1.0))
        ratios = [sharpe(row[rest], 1.0) for row in returns]
        rank = sorted(ratios).index(ratios[best]) + 1
        share = rank / (len(returns) + 1)
        logits.append(math.log(share / (1 - share)))
        outside.append(ratios[best])
    return logits, outside


def test_it_is_what_the_paper_says() -> None:
    returns = noise(7, 48)
    found = probability_of_overfitting(returns, 1.0, blocks=6)
    logits, outside = plainly(returns, 6)
    np.testing.assert_allclose(found.logits, logits)
    np.testing.assert_allclose(found.held_out_sharpe, outside)
    assert found.probability == np.mean(np.array(logits) <= 0)
    assert found.loss_probability == np.mean(np.array(outside) < 0)


def test_noise_is_overfitted_and_an_edge_is_not() -> None:
    of_noise = [probability_of_overfitting(noise(50, 320, seed), 365.0) for seed in range(12)]
    assert 0.3 < np.mean([each.probability for each in of_noise]) < 0.75
    for each in of_noise:
        assert each.chosen_sharpe.mean() > each.held_out_sharpe.mean() + 1
    edge = noise(50, 320)
    edge[7] += 0.005
    found = probability_of_overfitting(edge, 365.0)
    assert found.probability < 0.01 and found.loss_probability < 0.01
    assert found.chosen_sharpe.mean() == pytest.approx(found.held_out_sharpe.mean())  # always the same one


def test_equals_share_their_rank() -> None:
    """Twice the same combination, and nothing else: neither above nor below the other."""
    found = probability_of_overfitting(np.repeat(noise(1, 64), 2, axis=0), 1.0, blocks=4)
    assert np.all(found.logits == 0)


def test_a_combination_that_does_nothing_is_neither_good_nor_bad() -> None:
    returns = np.vstack([np.zeros(64), noise(1, 64) - 0.01])
    found = probability_of_overfitting(returns, 1.0, blocks=4)
    assert np.all(found.held_out_sharpe == 0)


def test_each_path_has_every_group_once_and_from_what_was_chosen_without_it() -> None:
    returns = noise(5, 100)
    found = combinatorial_paths(returns, 365.0, groups=5, held_out=2)
    assert found.returns.shape == (4, 100)  # 10 splits x 2 groups held out / 5 groups
    bounds = range(0, 101, 20)
    for path in range(4):
        for group in range(5):
            part = slice(bounds[group], bounds[group + 1])
            number = [n for n, split in zip(found.chosen, found.held_out, strict=True) if group in split][path]
            np.testing.assert_array_equal(found.returns[path, part], returns[number, part])
        assert found.sharpe[path] == pytest.approx(sharpe(found.returns[path], 365.0))


@pytest.mark.parametrize(("purge", "embargo"), [(0, 0), (1, 1), (3, 2)])
def test_what_is_held_out_purged_or_embargoed_has_no_part_in_the_choice(purge: int, embargo: int) -> None:
    returns = noise(6, 120)
    before = combinatorial_paths(returns, 1.0, groups=6, held_out=1, purge=purge, embargo=embargo)
    for group in range(6):
        first, last = max(0, group * 20 - purge), min(120, (group + 1) * 20 + embargo)
        changed = returns.copy()
        changed[:, first:last] += np.linspace(-1, 1, 6)[:, None]
        after = combinatorial_paths(changed, 1.0, groups=6, held_out=1, purge=purge, embargo=embargo)
        assert after.chosen[group] == before.chosen[group]
    # The control: one sample further, before or after, and the choice is another.
    for beyond in (40 - purge - 1, 60 + embargo):
        changed = returns.copy()
        changed[(before.chosen[2] + 1) % 6, beyond] += 1e3
        changed[:, beyond] -= np.where(np.arange(6) == before.chosen[2], 10, 0)
        after = combinatorial_paths(changed, 1.0, groups=6, held_out=1, purge=purge, embargo=embargo)
        assert after.chosen[2] != before.chosen[2]


@pytest.mark.parametrize(
    ("samples", "options"),
    [(100, {"blocks": 5}), (100, {"blocks": 22}), (30, {"blocks": 16})],
)
def test_too_little_to_split_is_refused(samples: int, options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        probability_of_overfitting(noise(3, samples), 1.0, **options)


def test_one_combination_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one combination alone"):
        probability_of_overfitting(noise(1, 100), 1.0)


@pytest.mark.parametrize("options", [{"groups": 5, "held_out": 5}, {"groups": 21}, {"embargo": 50}, {"purge": -1}])
def test_groups_that_cannot_be_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        combinatorial_paths(noise(3, 100), 1.0, **options)
