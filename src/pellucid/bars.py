"""Bars: how far long work is -> a bar on a terminal or in a notebook, in a log a line every half minute.

They appear only where the work takes over two seconds, and are gone when it is done.
"""

import sys
from typing import Any

from tqdm.auto import tqdm

DELAY = 2  # seconds before anything is shown
OFTEN, SELDOM = 0.1, 30  # seconds between two drawings, where they replace each other and where they do not


def bar(*given: Any, **named: Any) -> Any:
    """A tqdm bar; what is given is handed on to it."""
    replaced = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(*given, **{"delay": DELAY, "leave": False, "mininterval": OFTEN if replaced else SELDOM, **named})
