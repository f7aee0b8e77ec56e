"""Objectives: activations of layers -> one number per image; bigger is better."""
