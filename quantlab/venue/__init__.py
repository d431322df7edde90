"""The replay venue: a Binance-compatible exchange on loopback.

It plays recordings, candles (books and trades synthesised inside each) or a generated market.
"""

from quantlab.venue.process import serve
from quantlab.venue.server import Venue
from quantlab.venue.source import Market

__all__ = ["Market", "Venue", "serve"]
