"""Asking a person for a secret, in a notebook as in a terminal, so that it is shown and kept nowhere.

`getpass` in a Jupyter kernel is a request on the stdin channel with `password: true` (Jupyter messaging protocol,
"Messages on the stdin channel"): the answer comes back as a message of its own. It is in no cell, no output, no
widget's state and not in IPython's history, which keeps the cells' source. A widget for passwords keeps its value in
the notebook's metadata, so none is used.
"""

from __future__ import annotations

import sys

from quantlab.model import Refused


class NobodyThere(Refused):
    """A secret is needed, and nobody can be asked: a batch run, papermill, a script without a terminal."""


def ask(words: str) -> str:
    """A hidden line from whoever is there; registered as a secret, so that no text shows it from now on.

    Raises NobodyThere.
    """
    from quantlab.vault import password

    try:
        if not someone_is_there():
            raise NotImplementedError
        return password.ask(words)
    except (NotImplementedError, EOFError):  # a kernel whose client takes no questions
        raise NobodyThere("nobody is here to type what is asked for: run this in JupyterLab or a terminal") from None


def someone_is_there() -> bool:
    """Whether one can be asked: a terminal, or a kernel (whose client may still refuse, see `ask`)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel") or sys.stdin.isatty()
