"""The security checklist, as code: what was seen, why it matters, how to mend it, and what it stops in which mode.

`preflight` looks at everything and never raises for what it finds. Each theme has a file of its checks: `keys`,
`at_rest`, `plain_text`, `machine`, `market`, `stated`; the order is `checklist`'s.
"""

from quantlab.preflight.checklist import mode_of, preflight
from quantlab.preflight.result import Line, Mode, Result, Severity, Verdict, handed
from quantlab.preflight.stated import STATEMENTS, state, unstate

__all__ = [
    "STATEMENTS",
    "Line",
    "Mode",
    "Result",
    "Severity",
    "Verdict",
    "handed",
    "mode_of",
    "preflight",
    "state",
    "unstate",
]
