"""Learn: networks from scratch. NumPy and Numba, every gradient by hand; no autograd."""
