"""A home with a vault in it, and unlocking without the price of a real key derivation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantlab.vault import Vault
from quantlab.vault.kdf import Parameters

from .kit import PASSWORD, quick_derive, quick_disk


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key derivation and disk at no cost, for tests of what comes after them."""
    monkeypatch.setattr(Parameters, "derive", quick_derive)
    quick_disk(monkeypatch)


@pytest.fixture
def home(tmp_path: Path, quick: None) -> Path:
    """A home with an empty vault, closed."""
    Vault.create(tmp_path / "home", PASSWORD).close()
    return tmp_path / "home"


@pytest.fixture
def vault(home: Path) -> Iterator[Vault]:
    """The vault of `home`, open."""
    with Vault.open(home, PASSWORD) as vault:
        yield vault
