"""Losses: logits and labels -> softmax cross-entropy, and its gradient; the formulas are in kernels/reference.py.

The loss is taken from the logits and never from probabilities, so that loss and gradient agree for any finite logits.
"""

from pellucid.kernels import cross_entropy, softmax

__all__ = ["cross_entropy", "softmax"]
