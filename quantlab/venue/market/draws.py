"""Random draws as pure functions of (key, counter): the same market for the same seed, wherever one starts to look.

A sequential generator would make each hour depend on how many numbers the hours before it took. Here every number is
the splitmix64 hash (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) of a key, which names
the seed, the symbol and the purpose, and a counter, which names the place in time.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_TABLE_BITS = 10


def key_of(*parts: object) -> np.uint64:
    """A key from what names it, such as (seed, symbol, "trade times"); the same on every machine."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def draw(key: np.uint64, counter: Ints | Hashes) -> Hashes:
    """64 random bits for each counter."""
    x = counter.astype(np.uint64)
    x *= _GOLDEN
    x += key
    x ^= x >> np.uint64(30)
    x *= _FIRST
    x ^= x >> np.uint64(27)
    x *= _SECOND
    x ^= x >> np.uint64(31)
    return x


def uniform(hashes: Hashes) -> Floats:
    """In [0, 1), 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(hashes: Hashes) -> Floats:
    """Standard normal from 1,024 equally likely values: no library's `log` can change a bit of it."""
    values: Floats = _normal_table()[hashes >> np.uint64(64 - _TABLE_BITS)]
    return values


def lognormal(hashes: Hashes, sigma: float) -> Floats:
    """Median 1, shape `sigma`, from 1,024 equally likely values."""
    values: Floats = _lognormal_table(sigma)[hashes >> np.uint64(64 - _TABLE_BITS)]
    return values


@cache
def _normal_table() -> Floats:
    size = 1 << _TABLE_BITS
    return np.array([round(NormalDist().inv_cdf((i + 0.5) / size), 6) for i in range(size)])


@cache
def _lognormal_table(sigma: float) -> Floats:
    return np.array([round(math.exp(sigma * z), 6) for z in _normal_table().tolist()])
