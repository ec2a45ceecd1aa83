"""Strategies that write a sequence token by token. They know a step function and no model."""
