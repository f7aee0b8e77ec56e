"""Kernels: arrays in, arrays out; the only room with compiled code and with threads that compute.

Every kernel takes float32 or float64, with the batch last. For float32 it is compiled (by Numba, when it is first
called, and kept on disk); for float64, and with PELLUCID_KERNELS=reference for all, it runs in plain NumPy, as it is
written in reference.py, where the formula of each is to be read. Other rooms import from here, and from no file inside.
What is not asked for is not imported: Numba takes a while.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
