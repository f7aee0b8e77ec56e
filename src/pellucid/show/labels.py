"""Labels: numbers -> words, and shades, of pages and figures."""

import math

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage, never rounded up to 100%.

    >>> percent(0.9825), percent(0.99999), percent(1.0)
    ('98.2%', '99.9%', '100.0%')
    """
    shown = 100 * share
    if share < 1 and round(shown, decimals) >= 100:
        scale = 10.0**decimals
        shown = math.floor(shown * scale) / scale
    return f"{shown:.{decimals}f}%"


def short_number(number: float) -> str:
    """A number in at most four characters, for the little room under a tile.

    >>> short_number(0.4567), short_number(15.98)
    ('0.46', '16.0')
    """
    return f"{number:.2f}" if round(number, 2) < 10 else f"{number:.1f}"


def scientific(number: float) -> str:
    """A number as digits and a power of ten.

    >>> scientific(2.31e-7), scientific(1e-6), scientific(0.0)
    ('2.3 × 10⁻⁷', '10⁻⁶', '0')
    """
    if number == 0:
        return "0"
    digits, exponent = f"{number:.1e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if digits == "1.0" else f"{digits} × {power}"


def log_share(number: float, low: float = 1e-12, high: float = 1.0) -> str:
    """Where a number lies between `low` (0) and `high` (1) on a logarithmic scale, held inside.

    >>> log_share(1e-6), log_share(0.0), log_share(7.0)
    ('0.5000', '0.0000', '1.0000')
    """
    position = math.log(max(number, low) / low) / math.log(high / low)
    return f"{min(1.0, position):.4f}"
