"""Layers that turn ids into hidden states, scores, weights, contexts and logits, on every backend."""
