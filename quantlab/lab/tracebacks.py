"""Tracebacks in a notebook without secrets: `%xmode Verbose` shows the arguments and variables of every frame, and what
a cell shows is saved with the notebook."""

from __future__ import annotations

import functools
import re
from typing import Any

from quantlab.redact import MASK, redact

_MARK = "_quantlab_keeps_tracebacks_clean"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def guard_tracebacks(shell: Any) -> None:
    """Mask known secrets, and what looks like one, in every traceback that `shell` (an IPython) shows from now on."""
    show = getattr(shell, "_showtraceback", None)
    if show is None or hasattr(shell, _MARK):
        return
    setattr(shell, _MARK, True)

    @functools.wraps(show)
    def shown(kind: type[BaseException], error: BaseException | str, lines: list[str]) -> None:
        show(kind, masked(str(error)), [masked(line) for line in lines])

    shell._showtraceback = shown


def masked(text: str) -> str:
    """`text` without secrets; without its colours too, where they would hide one. What cannot be checked is left out,
    for a traceback must be shown whatever happens."""
    try:
        plain = _ANSI.sub("", text)
        clean = redact(text)
        return clean if _ANSI.sub("", clean) == redact(plain) else redact(plain)
    except Exception as error:
        return f"{MASK} (it cannot be checked for secrets: {type(error).__name__})"
