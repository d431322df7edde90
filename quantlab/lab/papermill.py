"""A papermill engine that lets no secret into a notebook: `papermill --engine quantlab in.ipynb out.ipynb -p NAME X`.

Papermill writes every parameter into a cell and into the notebook's metadata, saves after each cell, and reports carry
on what it wrote. Here parameters are refused before the first byte is written, and what cells print before each save.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from papermill.engines import NBClientEngine

from quantlab.model import Refused
from quantlab.redact import secrets_in_notebook
from quantlab.settings import register_secrets_of

#: A parameter of such a name is a secret whatever it holds.
_SECRET_NAME = re.compile(
    r"(?i)(?:^|_|\b)(?:secret|passw(?:or)?d|passphrase|token|credentials?|api_?key|private_?key|pem)(?:$|_|\b)"
    r"|secret_?key|apisecret"
)


class QuantlabEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's own engine, which refuses secrets. Raises Refused naming the parameter or the cell."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any) -> Any:
        register_secrets_of()
        refuse_parameters(nb.metadata.get("papermill", {}).get("parameters", {}))
        _refuse_secrets(nb)
        return super().execute_notebook(nb, kernel_name, output_path=output_path, **options)

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        save = nb_man.save

        def checked_save(**more: Any) -> None:
            _refuse_secrets(nb_man.nb)
            save(**more)

        nb_man.save = checked_save
        result = super().execute_managed_notebook(nb_man, kernel_name, **options)
        _refuse_secrets(nb_man.nb)
        return result


def refuse_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise Refused for a parameter that is a secret: by its name, by a value known to quantlab, or by its look."""
    for name, value in _flat(parameters):
        found = next((kind.value for _, kind in secrets_in_notebook({"metadata": {name: value}})), None)
        if found is None and _SECRET_NAME.search(_words(name)) and isinstance(value, str) and value:
            found = "a secret, by its name"
        if found is not None:
            raise Refused(
                f'parameter "{name}" is {found}: parameters are written into the notebook; let it read what it needs '
                "itself, from .env or the vault"
            )


def _flat(parameters: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Every value with its dotted name."""
    found: list[tuple[str, Any]] = []
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", value))
    return found


def _words(name: str) -> str:
    """A name in camel case as words: apiSecret → api_Secret."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _refuse_secrets(notebook: Any) -> None:
    found = next(iter(secrets_in_notebook(notebook)), None)
    if found is not None:
        where, kind = found
        raise Refused(f"{where} holds {kind.value}: nothing of it was written; take it out and run the notebook again")
