"""What a notebook imports: the workbench, its runs, and comparisons. Everything is synchronous.

The engine runs in a process of its own; notebooks start it, read the ledger and send it commands. Nothing here needs
the kernel's event loop, so a cell may be busy, interrupted or gone without a bot noticing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantlab.lab.compare import Comparison as Comparison
    from quantlab.lab.run import Run as Run
    from quantlab.lab.workbench import Workbench as Workbench

#: Resolved when asked for: a kernel that only guards its history starts without polars.
_NAMES = {
    "Comparison": "quantlab.lab.compare",
    "Run": "quantlab.lab.run",
    "Workbench": "quantlab.lab.workbench",
}

__all__ = ["Comparison", "Run", "Workbench"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'quantlab.lab' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
