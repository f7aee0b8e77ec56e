"""Kernels: arrays in, arrays out; the only room with compiled code and threads."""
