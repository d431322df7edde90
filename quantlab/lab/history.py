"""IPython's history without secrets: what a cell holds is kept in `history.sqlite` for years, across projects.

An input with a secret is stored as a comment that says what was left out. The cell itself runs as it was typed, and
stays in the notebook until the notebook is saved. Loaded as an IPython extension (`%load_ext quantlab.lab.history`) by
quantlab's kernels from their start, and by `Workbench.open` everywhere else.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any

from quantlab.lab.tracebacks import guard_tracebacks
from quantlab.redact import redact, secrets_in_text
from quantlab.settings import register_secrets_of

_MARK = "_quantlab_keeps_it_clean"


def load_ipython_extension(shell: Any) -> None:
    """What `--ext` and `%load_ext` call."""
    protect(shell)


def protect(shell: Any | None = None) -> None:
    """Keep secrets out of the history and the tracebacks of `shell` (default: the running IPython; nothing happens
    outside of one) from now on, and take out of the history those that this session has stored already. Once is
    enough."""
    if shell is None:
        shell = _running_shell()
    guard_tracebacks(shell)
    manager = getattr(shell, "history_manager", None)
    if manager is None or hasattr(manager, _MARK):
        return
    setattr(manager, _MARK, True)
    _guard_inputs(manager)
    _guard_outputs(manager)
    with contextlib.suppress(Exception):  # an IPython that keeps its history otherwise must not stop a notebook
        _clean_session(manager)


def without_secrets(source: str) -> str:
    """`source`, or where it holds a secret a comment that says what kind. Never raises: what cannot be checked counts
    as a secret."""
    try:
        register_secrets_of()  # .env may have changed since
        kinds = dict.fromkeys(seen.kind.value for seen in secrets_in_text(source))
    except Exception as error:
        kinds = {f"something that cannot be checked ({type(error).__name__})": None}
    return f"# not kept in the history: a cell with {', '.join(kinds)}" if kinds else source


def _guard_inputs(manager: Any) -> None:
    store = manager.store_inputs

    @functools.wraps(store)
    def guarded(line_num: int, source: str, source_raw: str | None = None) -> None:
        raw = without_secrets(source if source_raw is None else source_raw)
        store(line_num, without_secrets(source), raw)

    manager.store_inputs = guarded


def _guard_outputs(manager: Any) -> None:
    """Outputs are stored only where `HistoryManager.db_log_output` is set."""
    store = manager.store_output

    @functools.wraps(store)
    def guarded(line_num: int) -> None:
        if line_num in manager.output_hist_reprs:
            manager.output_hist_reprs[line_num] = redact(manager.output_hist_reprs[line_num])
        store(line_num)

    manager.store_output = guarded


def _clean_session(manager: Any) -> None:
    """Replace what this session stored before it was protected; SQLite overwrites the old bytes."""
    stained = [
        (line, clean)
        for line, source in enumerate(manager.input_hist_raw)
        if (clean := without_secrets(source)) != source
    ]
    if not stained:
        return
    for line, clean in stained:
        manager.input_hist_raw[line] = manager.input_hist_parsed[line] = clean
    manager.writeout_cache()
    database = manager.db
    with database:
        database.execute("PRAGMA secure_delete = ON")
        database.executemany(
            "UPDATE history SET source = ?, source_raw = ? WHERE session = ? AND line = ?",
            [(clean, clean, manager.session_number, line) for line, clean in stained],
        )


def _running_shell() -> Any | None:
    """The IPython this runs in, without importing it where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
