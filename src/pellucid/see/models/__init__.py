"""Models: whatever can be asked what its units answer to, under one interface."""
