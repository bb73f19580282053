"""What the recordings measure (`python -m mlthon.data.calibration`), and how far the synthetic market may be off.

The recordings are those named in the profiles' `source`; they come with hftbacktest's examples (MIT licence).
"""

from collections.abc import Mapping
from typing import Final

from mlthon.data.calibration import Figures

RECORDED: Final[Mapping[str, Figures]] = {
    "btc-2024": Figures(
        seconds=479.326, spread_mean=1.0084, spread_median=1.0, spread_one_tick=0.9986, touch_median=12048.0,
        quote_rate=108.9864, taker_rate=7.5731, taker_cv=1.6441, taker_fano=7.4467, print_rate=22.3063,
        size_mean=309.2102, size_median=25.0, size_95=1118.55, sign_autocorrelation=0.2474, volatility_1s=0.4630,
        volatility_10s=0.6584, move_rate=2.0195, markout_1s=0.1888,
    ),
    "btc-2023": Figures(
        seconds=513.985, spread_mean=1.0035, spread_median=1.0, spread_one_tick=0.9990, touch_median=4373.0,
        quote_rate=85.9947, taker_rate=7.7298, taker_cv=1.4065, taker_fano=4.8797, print_rate=25.1622,
        size_mean=299.2912, size_median=23.0, size_95=1419.2, sign_autocorrelation=0.2127, volatility_1s=0.3717,
        volatility_10s=0.3609, move_rate=1.1537, markout_1s=0.1081,
    ),
    "eth-2024": Figures(
        seconds=479.569, spread_mean=1.0049, spread_median=1.0, spread_one_tick=0.9985, touch_median=75214.5,
        quote_rate=98.5990, taker_rate=7.1898, taker_cv=1.4755, taker_fano=7.5006, print_rate=28.4505,
        size_mean=3145.473, size_median=166.0, size_95=9860.0, sign_autocorrelation=0.2971, volatility_1s=0.5979,
        volatility_10s=0.7198, move_rate=2.1707, markout_1s=0.1803,
    ),
}  # fmt: skip
"""Profile -> the figures of its recording."""

TOLERANCES: Final[Mapping[str, float]] = {
    "spread_mean": 0.03,
    "spread_median": 0.0,
    "spread_one_tick": 0.005,
    "touch_median": 0.25,
    "quote_rate": 0.35,
    "taker_rate": 0.25,
    "taker_cv": 0.4,
    "taker_fano": 0.35,
    "size_mean": 0.15,
    "size_median": 0.15,
    "size_95": 0.2,
    "sign_autocorrelation": 0.25,
    "volatility_1s": 0.35,
    "volatility_10s": 0.4,
    "move_rate": 0.5,
    "markout_1s": 0.7,
}
"""Figure -> how far half an hour of the synthetic market may be off, as a share of the recorded figure. Rates and
volatilities of single half hours scatter by some 10 % from seed to seed; the rest is error of the model. Prints are
left out: the embedded exchange publishes one a price level, the recorded exchange one a maker."""
