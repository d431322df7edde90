"""Strategies are found by name, entry point or file; what is unknown is refused with the valid names; the source's
hash changes with the source."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import pytest

from quantlab.model import ConfigurationError
from quantlab.strategies import STRATEGIES, find_strategy, make_strategy, source_sha256
from quantlab.strategies.ema_cross import EmaCross

NINE = {
    "ema_cross", "donchian_breakout", "keltner_breakout", "macd_momentum", "rate_of_change", "rsi_reversion",
    "bollinger_reversion", "vwap_reversion", "spread_capture",
}  # fmt: skip

OWN = '''
from __future__ import annotations
from dataclasses import dataclass
import polars as pl
from quantlab.strategies import Strategy

@dataclass(frozen=True)
class AlwaysLong(Strategy):
    """Long."""
    share: float = 1.0

    @property
    def lookback(self) -> int:
        return 1

    def exposure(self) -> pl.Expr:
        return pl.lit(self.share) + pl.col("close") * 0

class Plain(Strategy):
    pass
'''


def own(folder: Path, text: str = OWN) -> Path:
    path = folder / "mine" / "own.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_nine() -> None:
    assert set(STRATEGIES) == NINE


def test_by_name_with_parameters(tmp_path: Path) -> None:
    assert make_strategy("ema_cross", {"fast": 5}, base=tmp_path) == EmaCross(fast=5, slow=26)


@pytest.mark.parametrize(
    ("reference", "parameters", "says"),
    [
        ("ema_crss", {}, r'unknown strategy "ema_crss"; there are ema_cross, .*did you mean "ema_cross"'),
        ("zzz", {}, r'your own as "path/to/file.py:Name"$'),
        ("ema_cross", {"fsat": 5}, r'ema_cross: unknown parameter "fsat"; it has fast, slow \(did you mean "fast"'),
        ("ema_cross", {"fast": 50}, r'ema_cross: EmaCross: parameter "slow" must be above fast \(50\), not 26'),
        ("ema_cross", {"fast": "12"}, r'parameter "fast" must be a whole number from 1 to 10000, not \'12\''),
        ("mine/none.py:X", {}, "none.py.* does not exist: paths are relative to the fleet file"),
    ],
)
def test_refusals_name_what_is_valid(reference: str, parameters: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make_strategy(reference, parameters, base=tmp_path)


def test_by_file_relative_to_the_base(tmp_path: Path) -> None:
    own(tmp_path)
    strategy = make_strategy("mine/own.py:AlwaysLong", {"share": 0.5}, base=tmp_path)
    assert (type(strategy).__name__, strategy.lookback) == ("AlwaysLong", 1)
    assert find_strategy("mine/own.py:AlwaysLong", base=tmp_path) is type(strategy), "the file is run once"
    with pytest.raises(ConfigurationError, match='no strategy "AlwaysShort"; it has AlwaysLong'):
        make_strategy("mine/own.py:AlwaysShort", {}, base=tmp_path)
    with pytest.raises(ConfigurationError, match="must be a dataclass"):
        make_strategy("mine/own.py:Plain", {}, base=tmp_path)
    with pytest.raises(ConfigurationError, match='unknown parameter "shar"'):
        make_strategy("mine/own.py:AlwaysLong", {"shar": 0.5}, base=tmp_path)


@pytest.mark.parametrize(("text", "says"), [("x = (", r"own.py line 1: SyntaxError"), ("1 / 0", "ZeroDivisionError")])
def test_a_file_that_does_not_run_is_said_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    own(tmp_path, text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        make_strategy("mine/own.py:AlwaysLong", {}, base=tmp_path)
    assert "\n" not in str(caught.value)


def test_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("their_own", "quantlab.strategies.ema_cross:EmaCross", "quantlab.strategies")
    wrong = importlib.metadata.EntryPoint("absent", "no_such_module:X", "quantlab.strategies")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [point, wrong])
    assert make_strategy("their_own", {"slow": 30}, base=tmp_path) == EmaCross(12, 30)
    with pytest.raises(ConfigurationError, match="does not load: No module named"):
        make_strategy("absent", {}, base=tmp_path)


def test_the_hash_is_the_source_files(tmp_path: Path) -> None:
    path = own(tmp_path)
    first = make_strategy("mine/own.py:AlwaysLong", {}, base=tmp_path)
    before = source_sha256(first)
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()
    own(tmp_path, OWN.replace("share: float = 1.0", "share: float = 0.9"))
    second = make_strategy("mine/own.py:AlwaysLong", {}, base=tmp_path)
    assert second.share == 0.9, "an edited file is read anew"
    assert source_sha256(second) != before
    assert len({source_sha256(strategy()) for strategy in STRATEGIES.values()}) == 9
