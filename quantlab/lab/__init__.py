"""What a notebook imports: the workbench, its runs, and comparisons. Everything is synchronous.

The engine runs in a process of its own; notebooks start it, read the ledger and send it commands. Nothing here needs
the kernel's event loop, so a cell may be busy, interrupted or gone without a bot noticing.
"""

from quantlab.lab.compare import Comparison
from quantlab.lab.run import Run
from quantlab.lab.workbench import Workbench

__all__ = ["Comparison", "Run", "Workbench"]
