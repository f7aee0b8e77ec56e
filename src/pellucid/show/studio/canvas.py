"""Canvas: what a person draws, as the browser sends it -> grays.

decode_drawing: the address of a PNG -> its grays in [0, 1]
"""

import base64
import binascii

import numpy as np
from jaxtyping import Float32

from pellucid.data.photos import decode_photo, to_gray
from pellucid.errors import PellucidError

PREFIX = "data:image/png;base64,"
LONGEST, MOST_PIXELS = 500_000, 1_000_000


def decode_drawing(address: object) -> Float32[np.ndarray, "height width"]:
    """The grays of a drawing; raises PellucidError where the address is not that of a PNG of moderate size."""
    if not isinstance(address, str) or not address.startswith(PREFIX) or len(address) > LONGEST:
        raise PellucidError("The drawing did not arrive as a picture; clear it and draw again.")
    try:
        content = base64.b64decode(address[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise PellucidError("The drawing arrived damaged; clear it and draw again.") from error
    gray: np.ndarray = to_gray(decode_photo(content, "drawing", MOST_PIXELS).over(0.0))[0]
    return gray
