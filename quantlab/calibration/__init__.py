"""What orders would really have cost on recorded books, and how well slippage models tell it."""

from quantlab.calibration.fit import Fit, fit, score
from quantlab.calibration.walks import SIZES, walked_costs

__all__ = ["SIZES", "Fit", "fit", "score", "walked_costs"]
