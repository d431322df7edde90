"""The armed key as it is now: what was rotated signs from the next request on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from quantlab.ledger.keys import KeyStore
from quantlab.live.arming import Arming, successor
from quantlab.model import Refused
from quantlab.model.protocols import Signer
from quantlab.vault import Vault

_PURPOSE = "live orders"


class HotSigner:
    """Call it for the signer of the moment, from any thread. The vault is opened when the key has changed, and not
    otherwise: what is asked each time is only which key it is. Raises Refused for a key that may not sign any more.
    """

    def __init__(self, home: Path, arming: Arming, open_vault: Callable[[], Vault]) -> None:
        self._home, self._arming, self._open_vault = home, arming, open_vault
        self._lock = threading.Lock()
        self._fingerprint = ""
        self._signer: Signer | None = None

    def __call__(self) -> Signer:
        with self._lock:
            with KeyStore.open(self._home) as store:
                row = successor(store.key_rows(), self._arming)
            if row.state != "active":
                raise Refused(f'key "{row.label}" is {row.state}: {row.state_why}')
            if self._signer is None or row.fingerprint != self._fingerprint:
                with self._open_vault() as vault:
                    self._signer = vault.signer(row.fingerprint, _PURPOSE)
                self._fingerprint = row.fingerprint
            return self._signer
