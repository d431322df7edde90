"""Strategies by name: the nine, installed ones, and the user's own by file."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantlab.model import ConfigurationError
from quantlab.strategies.base import Strategy
from quantlab.strategies.bollinger_reversion import BollingerReversion
from quantlab.strategies.donchian_breakout import DonchianBreakout
from quantlab.strategies.ema_cross import EmaCross
from quantlab.strategies.keltner_breakout import KeltnerBreakout
from quantlab.strategies.macd_momentum import MacdMomentum
from quantlab.strategies.rate_of_change import RateOfChange
from quantlab.strategies.rsi_reversion import RsiReversion
from quantlab.strategies.spread_capture import SpreadCapture
from quantlab.strategies.vwap_reversion import VwapReversion

#: The strategies that come with quantlab, by the name that a fleet file uses.
STRATEGIES: dict[str, type[Strategy]] = {
    "ema_cross": EmaCross,
    "donchian_breakout": DonchianBreakout,
    "keltner_breakout": KeltnerBreakout,
    "macd_momentum": MacdMomentum,
    "rate_of_change": RateOfChange,
    "rsi_reversion": RsiReversion,
    "bollinger_reversion": BollingerReversion,
    "vwap_reversion": VwapReversion,
    "spread_capture": SpreadCapture,
}

#: Where installed packages offer theirs.
ENTRY_POINT_GROUP = "quantlab.strategies"


def make_strategy(reference: str, parameters: Mapping[str, Any], *, base: Path) -> Strategy:
    """The strategy named by `reference`, with `parameters`.

    `reference` is one of `STRATEGIES`, the name of an entry point in the group "quantlab.strategies", or
    "path/to/file.py:Name" with the path relative to `base`. Raises ConfigurationError for an unknown strategy or
    parameter (with the valid ones) and for a parameter out of its range.
    """
    strategy_class = find_strategy(reference, base=base)
    known = [field.name for field in dataclasses.fields(strategy_class) if field.init]  # type: ignore[arg-type]
    for name in parameters:
        if name not in known:
            valid = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigurationError(f'{reference}: unknown parameter "{name}"; {valid}{_near(name, known)}')
    try:
        return strategy_class(**parameters)
    except ConfigurationError as error:
        raise ConfigurationError(f"{reference}: {error}") from error
    except Exception as error:  # the user's own code: whatever it raises is about its parameters
        raise ConfigurationError(f"{reference}: parameters {dict(parameters)!r} do not fit: {error}") from error


def find_strategy(reference: str, *, base: Path) -> type[Strategy]:
    """The class named by `reference` (see `make_strategy`); raises ConfigurationError with the valid names."""
    path, colon, name = reference.rpartition(":")
    if colon:
        return _from_file(base / path, name)
    if reference in STRATEGIES:
        return STRATEGIES[reference]
    installed = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    if reference in installed:
        try:
            found = installed[reference].load()
        except Exception as error:
            raise ConfigurationError(f'strategy "{reference}" is installed but does not load: {error}') from error
        return _checked(found, reference)
    valid = [*STRATEGIES, *installed]
    raise ConfigurationError(
        f'unknown strategy "{reference}"; there are {", ".join(valid)}, and your own as "path/to/file.py:Name"'
        f"{_near(reference, valid)}"
    )


def source_sha256(strategy: Strategy) -> str:
    """SHA-256 (hex) of the file that defines the strategy's class, or of the class alone where it has no file (a
    notebook's cell). Raises ConfigurationError when there is no source to hash."""
    strategy_class = type(strategy)
    try:
        file = inspect.getsourcefile(strategy_class)
        source = Path(file).read_bytes() if file and Path(file).is_file() else None
        if source is None:
            source = inspect.getsource(strategy_class).encode()
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"{strategy_class.__name__}: its source cannot be found: put it in a file and name it path/to/file.py:"
            f"{strategy_class.__name__}"
        ) from error
    return hashlib.sha256(source).hexdigest()


def _from_file(path: Path, name: str) -> type[Strategy]:
    """Class `name` of the Python file at `path`. The file is run: it is the user's own code."""
    path = path.expanduser().resolve()
    where = f"{path.name}:{name}"
    if not path.is_file():
        raise ConfigurationError(f'strategy file "{path}" does not exist: paths are relative to the fleet file')
    content = path.read_bytes()
    # A module name of its own for each content: an edited file is a new module, and two files never collide.
    module_name = f"quantlab_user_{path.stem}_{hashlib.sha256(str(path).encode() + content).hexdigest()[:16]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise ConfigurationError(f'strategy file "{path}" is not a Python file (.py)')
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their own module up
        try:
            exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102 - this content, whatever is cached
        except Exception as error:
            del sys.modules[module_name]
            line = getattr(error, "lineno", None)
            at = f" line {line}" if line else ""
            raise ConfigurationError(f"{path.name}{at}: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if _is_strategy(value)]
        valid = f"it has {', '.join(classes)}" if classes else "it has no strategy"
        raise ConfigurationError(f'{path.name} has no strategy "{name}"; {valid}{_near(name, classes)}')
    return _checked(found, where)


def _checked(found: Any, reference: str) -> type[Strategy]:
    if not _is_strategy(found):
        raise ConfigurationError(
            f"{reference} is not a strategy: it must be a dataclass that derives from quantlab.strategies.Strategy"
        )
    strategy_class: type[Strategy] = found
    return strategy_class


def _is_strategy(value: Any) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Strategy)
        and value is not Strategy
        and dataclasses.is_dataclass(value)
    )


def _near(name: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""
