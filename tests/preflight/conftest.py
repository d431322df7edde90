"""Settings of a root of their own, and a vault that unlocks at no cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab.settings import Settings
from quantlab.vault.kdf import Parameters

from ..vault.kit import quick_derive
from .kit import settings_in


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parameters, "derive", quick_derive)


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings of an empty root."""
    root = tmp_path / "root"
    root.mkdir()
    return settings_in(root)
