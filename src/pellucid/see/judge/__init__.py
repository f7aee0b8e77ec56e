"""How much to believe a picture: the pattern of a unit, other networks, held-out images -> numbers beside it."""
