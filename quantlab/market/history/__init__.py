"""Years of candles at hand: kept by symbol, timeframe and month, with their sources and their gaps."""

from quantlab.market.history.files import SUFFIXES, Found, read_file
from quantlab.market.history.frame import SCHEMA
from quantlab.market.history.gaps import gaps
from quantlab.market.history.resample import resample
from quantlab.market.history.store import History, folder_of

__all__ = ["SCHEMA", "SUFFIXES", "Found", "History", "folder_of", "gaps", "read_file", "resample"]
