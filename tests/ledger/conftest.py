"""A ledger in which the run "r" has begun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantlab.ledger import Ledger

from .rows import BOT, RUN


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "home") as ledger:
        ledger.begin_run(RUN, [BOT])
        yield ledger
