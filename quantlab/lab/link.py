"""A path that a notebook shows as a link to click."""

from __future__ import annotations

import html
import os
from pathlib import Path
from urllib.parse import quote


class LinkedPath(type(Path())):  # type: ignore[misc]  # the platform's own path class
    """A `Path` in every way; a notebook shows it as a link relative to itself, so that no output holds a path of this
    machine."""

    def _repr_html_(self) -> str:
        relative = os.path.relpath(self, Path.cwd())
        return f'<a href="{quote(relative)}" target="_blank">{html.escape(relative)}</a>'
