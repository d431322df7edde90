"""quantlab: what your trading bots would do on the real market, before any money moves."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantlab.lab import Workbench as Workbench

__version__ = "0.1.0"

#: Names that a notebook imports, and where they live. Resolved when asked for: `import quantlab` stays light.
_NAMES = {"Workbench": "quantlab.lab"}

__all__ = ["Workbench", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'quantlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
