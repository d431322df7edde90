"""The security checklist, as code."""

from __future__ import annotations
