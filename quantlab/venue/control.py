"""What a person does at Binance's API Management page, done to a venue: deleting a key."""

from __future__ import annotations

import http.client
from urllib.parse import quote, urlsplit

from quantlab.model import ExchangeUnreachable, NotFound


def delete_key(url: str, fingerprint: str) -> None:
    """Delete a key of the venue at `url`: from now on it answers -2015. Raises NotFound, ExchangeUnreachable."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10.0)
    try:
        connection.request("DELETE", f"/__venue__/keys?fingerprint={quote(fingerprint)}")
        status = connection.getresponse().status
    except OSError as error:
        raise ExchangeUnreachable(f"the venue at {parts.netloc} does not answer ({error})") from None
    finally:
        connection.close()
    if status != 200:
        raise NotFound(f"the venue at {parts.netloc} has no key {fingerprint}")
