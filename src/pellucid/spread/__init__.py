"""The same work on many machines: engines that send pieces to the workers of a Ray cluster."""
