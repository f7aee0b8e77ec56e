"""See: what every unit of a model answers to, and dreams on photographs. PyTorch, on any model."""
