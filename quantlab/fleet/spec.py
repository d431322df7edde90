"""The fleet file: which bots run, on what, with how much. TOML in, a frozen `FleetSpec` out, or one line that says
which line and field is wrong."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from quantlab.model import TIMEFRAMES, ConfigurationError, NotFound
from quantlab.paper import Assumptions, SlippageKind
from quantlab.risk import BotLimits, FleetLimits
from quantlab.strategies import Strategy, make_strategy

_FLEET_FIELDS = ("name", "capital_usdt", "risk", "limits")
_PAPER_FIELDS = tuple(Assumptions.__dataclass_fields__)
_BOT_FIELDS = (
    "name",
    "strategy",
    "parameters",
    "symbol",
    "timeframe",
    "capital_usdt",
    "stop_loss_pct",
    "stop_limit_pct",
    "trailing_stop_pct",
    "take_profit_pct",
    "rebalance_pct",
    "max_slippage_pct",
    "risk",
)
_Limits = TypeVar("_Limits", BotLimits, FleetLimits)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")


@dataclass(frozen=True, kw_only=True)
class BotSpec:
    """One row of the fleet file. `*_pct` are percent of the entry price (stops), of the trigger (`stop_limit_pct`), of
    the best price since the entry (`trailing_stop_pct`), of equity (rebalance) or of the touch (`max_slippage_pct`:
    orders take no worse than that, and what is left over expires)."""

    name: str
    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    symbol: str
    timeframe: str
    capital_usdt: Decimal = Decimal(1000)
    stop_loss_pct: float | None = None
    stop_limit_pct: float | None = None
    trailing_stop_pct: float | None = None
    take_profit_pct: float | None = None
    rebalance_pct: float | None = None
    max_slippage_pct: float | None = None
    risk: BotLimits = field(default_factory=BotLimits)
    #: Where a strategy given as "path/to/file.py:Name" is looked up.
    base: Path = Path()

    def make_strategy(self) -> Strategy:
        """A new instance of the bot's strategy; raises ConfigurationError naming the valid ones."""
        return make_strategy(self.strategy, self.parameters, base=self.base)


@dataclass(frozen=True, kw_only=True)
class FleetSpec:
    name: str
    bots: tuple[BotSpec, ...]
    text: str
    #: What its fills are computed with, on paper.
    paper: Assumptions = field(default_factory=Assumptions)
    #: What all bots together may do.
    limits: FleetLimits = field(default_factory=FleetLimits)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(bot.symbol for bot in self.bots))


def load_fleet(path: Path) -> FleetSpec:
    """Read a fleet file. Raises NotFound when it is not there, ConfigurationError naming line, bot and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"no fleet file at {path}: give one with --fleet, such as notebooks/fleet.toml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    return parse_fleet(text, path=path)


def parse_fleet(text: str, *, path: Path) -> FleetSpec:
    """Parse the text of a fleet file; `path` names it in errors and is where strategies' files are looked up."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path.name}: not valid TOML: {error}") from error
    return _Reader(text, path).fleet(document)


class _Reader:
    """Turns the parsed document into specs; knows the text so that an error can name its line."""

    def __init__(self, text: str, path: Path) -> None:
        self.text, self.path = text, path
        self.lines = text.splitlines()
        self.headers = [n for n, line in enumerate(self.lines) if re.match(r"\s*\[\[\s*bot\s*\]\]", line)]

    def fleet(self, document: dict[str, Any]) -> FleetSpec:
        self._known(document, ("fleet", "paper", "bot"), None, "table")
        head = document.get("fleet", {})
        if not isinstance(head, dict):
            self._fail(None, "fleet", "must be a table: [fleet]")
        self._known(head, _FLEET_FIELDS, None, "field of [fleet]")
        risk = self._limits(head.get("risk", {}), BotLimits(), None, "risk")
        limits = self._limits(head.get("limits", {}), FleetLimits(), None, "limits")
        rows = document.get("bot")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            self._fail(None, "bot", "has no [[bot]] row: a fleet needs at least one")
        capital = self._money(head.get("capital_usdt", 1000), None, "capital_usdt")
        bots = tuple(self._bot(number, row, capital, risk) for number, row in enumerate(rows, 1))
        seen: dict[str, int] = {}
        for number, bot in enumerate(bots, 1):
            if bot.name in seen:
                self._fail(number, "name", f'"{bot.name}" is already bot {seen[bot.name]}: names must differ')
            seen[bot.name] = number
        paper = self._paper(document.get("paper", {}))
        if paper.slippage is SlippageKind.IMPACT:
            missing = sorted({bot.symbol for bot in bots} - paper.impact_bps.keys())
            if missing:
                self._fail(
                    None, "impact_bps", f"has no number for {', '.join(missing)}: `quantlab calibrate` finds them"
                )
        return FleetSpec(
            name=str(head.get("name", self.path.stem)), bots=bots, text=self.text, paper=paper, limits=limits
        )

    def _bot(self, number: int, row: dict[str, Any], capital: Decimal, risk: BotLimits) -> BotSpec:
        self._known(row, _BOT_FIELDS, number, "field of a bot")
        for name in ("name", "strategy", "symbol", "timeframe"):
            if name not in row:
                self._fail(number, name, "is missing")
            if not isinstance(row[name], str):
                self._fail(number, name, f"must be text, not {row[name]!r}")
        if not _NAME.fullmatch(row["name"]):
            self._fail(number, "name", f'"{row["name"]}" may hold letters, digits, dots, dashes (at most 64)')
        if not _SYMBOL.fullmatch(row["symbol"]):
            self._fail(number, "symbol", f'"{row["symbol"]}" is not written as Binance does, such as BTCUSDT')
        if row["timeframe"] not in TIMEFRAMES:
            valid = " ".join(TIMEFRAMES)
            self._fail(number, "timeframe", f'"{row["timeframe"]}" is not one Binance has ({valid})')
        parameters = row.get("parameters", {})
        if not isinstance(parameters, dict):
            self._fail(number, "parameters", "must be a table such as { fast = 12, slow = 26 }")
        spec = BotSpec(
            name=row["name"],
            strategy=row["strategy"],
            parameters=parameters,
            symbol=row["symbol"],
            timeframe=row["timeframe"],
            capital_usdt=self._money(row.get("capital_usdt", capital), number, "capital_usdt"),
            stop_loss_pct=self._percent(row, "stop_loss_pct", number, below=100),
            stop_limit_pct=self._percent(row, "stop_limit_pct", number, below=100),
            trailing_stop_pct=self._percent(row, "trailing_stop_pct", number, below=100),
            take_profit_pct=self._percent(row, "take_profit_pct", number, below=10_000),
            rebalance_pct=self._percent(row, "rebalance_pct", number, below=100),
            max_slippage_pct=self._percent(row, "max_slippage_pct", number, below=100),
            risk=self._limits(row.get("risk", {}), risk, number, "risk"),
            base=self.path.parent,
        )
        try:
            strategy = spec.make_strategy()
        except ConfigurationError as error:
            known = "parameters" if "parameter" in str(error) else "strategy"
            self._fail(number, known, str(error))
        ruled = ("stop_loss_pct", "stop_limit_pct", "trailing_stop_pct", "take_profit_pct", "max_slippage_pct")
        if strategy.uses_book and (named := next((name for name in ruled if getattr(spec, name) is not None), None)):
            self._fail(number, named, f"{spec.strategy} rests its own orders: it takes no stop, target or bound")
        if spec.stop_loss_pct is not None and spec.trailing_stop_pct is not None:
            self._fail(number, "trailing_stop_pct", "stands in the place of stop_loss_pct: leave one out")
        if spec.stop_limit_pct is not None and spec.stop_loss_pct is None:
            self._fail(number, "stop_limit_pct", "is the limit of a stop_loss_pct, which is missing")
        if spec.trailing_stop_pct is not None and round(spec.trailing_stop_pct * 100) < 1:
            self._fail(number, "trailing_stop_pct", "must be at least 0.01 (one basis point)")
        return spec

    def _paper(self, table: Any) -> Assumptions:
        if not isinstance(table, dict):
            self._fail(None, "paper", "must be a table: [paper]")
        self._known(table, _PAPER_FIELDS, None, "field of [paper]")
        values: dict[str, Any] = {}
        usual = Assumptions()
        for name, value in table.items():
            values[name] = self._assumed(name, value, getattr(usual, name))
        try:
            return Assumptions(**values)
        except ConfigurationError as error:
            self._fail(None, "[paper]", str(error))

    def _assumed(self, name: str, value: Any, usual: Any) -> Any:
        """A value of [paper], of the kind that `usual` is."""
        kind = type(usual)
        if issubclass(kind, StrEnum):
            valid = [str(each) for each in kind]
            if value not in valid:
                self._fail(None, name, f"must be one of {', '.join(valid)}, not {value!r}")
            return kind(value)
        if kind is tuple:
            if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
                self._fail(None, name, "must be a list of numbers, as `quantlab latency` prints it")
            return tuple(float(each) for each in value)
        if kind is dict:
            if not isinstance(value, dict):
                self._fail(None, name, "must be a table by symbol, as `quantlab calibrate` prints it")
            return {symbol: self._assumed(f"{name}.{symbol}", each, Decimal(0)) for symbol, each in value.items()}
        if (kind is bool) is not isinstance(value, bool):
            self._fail(None, name, f"must be {'true or false' if kind is bool else 'a number'}, not {value!r}")
        kinds = kind if kind in (bool, int) else (int, float)
        if not isinstance(value, kinds):
            self._fail(None, name, f"must be a {'whole ' if kind is int else ''}number, not {value!r}")
        return Decimal(str(value)) if kind is Decimal else value

    def _limits(self, table: Any, default: _Limits, number: int | None, what: str) -> _Limits:
        valid = tuple(default.__dataclass_fields__)
        if not isinstance(table, dict):
            self._fail(number, what, "must be a table such as { max_drawdown_pct = 20 }")
        self._known(table, valid, number, "limit of a bot" if what == "risk" else "limit of the fleet")
        values: dict[str, Any] = {}
        for name, value in table.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
                self._fail(number, name, f"must be a number above zero, not {value!r}")
            values[name] = Decimal(str(value)) if name.endswith("_usdt") else value
        try:
            return replace(default, **values)
        except ConfigurationError as error:
            self._fail(number, what, str(error))

    def _money(self, value: Any, number: int | None, name: str) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            self._fail(number, name, f"must be an amount above zero in USDT, not {value!r}")
        return Decimal(str(value))

    def _percent(self, row: dict[str, Any], name: str, number: int, *, below: float) -> float | None:
        value = row.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
            self._fail(number, name, f"must be a percentage above 0 and below {below}, not {value!r}")
        return float(value)

    def _known(self, table: Mapping[str, Any], valid: tuple[str, ...], number: int | None, what: str) -> None:
        for name in table:
            if name not in valid:
                near = difflib.get_close_matches(name, valid, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(valid)}"
                self._fail(number, name, f"is not a {what}; {hint}")

    def _fail(self, number: int | None, name: str, words: str) -> NoReturn:
        line = self._line(number, name)
        where = f"{self.path.name}:{line}" if line else self.path.name
        bot = ""
        if number is not None:
            label = re.search(r'^\s*name\s*=\s*["\']([^"\']*)', "\n".join(self._block(number)), re.MULTILINE)
            bot = f' bot {number} "{label[1]}":' if label else f" bot {number}:"
        raise ConfigurationError(f"{where}:{bot} {name} {words}")

    def _block(self, number: int) -> list[str]:
        if number > len(self.headers):
            return []
        end = self.headers[number] if number < len(self.headers) else len(self.lines)
        return self.lines[self.headers[number - 1] : end]

    def _line(self, number: int | None, name: str) -> int | None:
        """Line (from 1) on which `name` stands in the bot's block, else the block's first line."""
        if number is None:
            block, start = self.lines[: self.headers[0] if self.headers else None], 0
        else:
            block, start = self._block(number), self.headers[number - 1] if number <= len(self.headers) else 0
        pattern = re.compile(rf"(?:^|[\s{{,\[]){re.escape(name)}\s*(?:=|\])")
        for offset, line in enumerate(block):
            if pattern.search(line):
                return start + offset + 1
        return start + 1 if number is not None and block else None
