"""Losses, metrics, optimizers, and the work of the commands `train` and `evaluate`."""
