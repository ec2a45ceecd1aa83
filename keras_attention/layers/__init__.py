"""Layers from ids to hidden states, scores, weights, contexts and logits. They run on every backend."""
