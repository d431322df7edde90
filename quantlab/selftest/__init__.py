"""First contact: does an exchange say what quantlab expects it to say? Read-only, without a key, within two minutes.

`examine` asks one exchange each question and listens to each stream that quantlab uses; `compare` puts what it found
beside a reference (the replay venue, written from Binance's documentation) and says what differs.
"""

from quantlab.selftest.compare import Finding, compare
from quantlab.selftest.examine import Examination, examine

__all__ = ["Examination", "Finding", "compare", "examine"]
