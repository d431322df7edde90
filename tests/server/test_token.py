"""Promise: a home has one local token, whole and its owner's alone, however many processes start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from quantlab.model import Refused
from quantlab.server.token import local_token


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    together = Barrier(4)

    def start(home: Path) -> str:
        together.wait()
        return local_token(home)

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(50):
            assert len(set(pool.map(start, [tmp_path / str(round_)] * 4))) == 1
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["api-token"]
    assert (tmp_path / "0" / "api-token").stat().st_mode & 0o777 == 0o600
    assert local_token(tmp_path / "0") != local_token(tmp_path / "1")


def test_a_token_that_others_can_read_or_that_is_cut_is_refused(tmp_path: Path) -> None:
    token = local_token(tmp_path)
    path = tmp_path / "api-token"
    path.chmod(0o644)
    with pytest.raises(Refused, match="others can read"):
        local_token(tmp_path)
    path.chmod(0o600)
    assert local_token(tmp_path) == token
    path.write_text(token[:10])
    with pytest.raises(Refused, match="no whole token"):
        local_token(tmp_path)
