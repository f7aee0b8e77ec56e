"""Loss: logits and labels -> softmax cross-entropy, and its gradient.

p = softmax(z)    loss = -log p[label] = log sum exp(z) - z[label]    dz = p - onehot(label)

The logits are shifted by their maximum, and the loss is taken from the logits and never from probabilities, so that
loss and gradient agree for any finite logits and nothing is added to avoid log 0.
"""

from functools import reduce

import numpy as np
from jaxtyping import Float, Integer

Array = np.ndarray


@np.errstate(over="ignore", invalid="ignore")
def softmax(logits: Float[Array, "classes batch"]) -> Float[Array, "classes batch"]:
    """Probabilities, each column adding up to 1 and the same in any company: NumPy sums one column in another order."""
    exponentials: Array = np.exp(logits - logits.max(axis=0))
    exponentials /= reduce(np.add, exponentials)
    return exponentials


@np.errstate(over="ignore", invalid="ignore")
def cross_entropy(
    logits: Float[Array, "classes batch"], labels: Integer[Array, " batch"]
) -> tuple[Float[Array, " batch"], Float[Array, "classes batch"]]:
    """Each image's loss in nats, and the gradient of the sum of these losses for the logits."""
    shifted = logits - logits.max(axis=0)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=0)
    columns = np.arange(len(labels))
    losses = np.log(total) - shifted[labels, columns]
    gradient = exponentials / total
    gradient[labels, columns] -= 1
    return losses, gradient
