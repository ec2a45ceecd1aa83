"""Strategies that write a sequence token by token. They call a step function and know no model."""
