"""How a command prints its result: for people, or with --json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def emit(result: Any, as_json: bool, otherwise: str | Callable[[], object] = "") -> None:
    """Print `result` as JSON, or what people read instead: a line, or what a function prints."""
    if as_json:
        print(json.dumps(result, indent=2))
    elif callable(otherwise):
        otherwise()
    elif otherwise:
        print(otherwise)
