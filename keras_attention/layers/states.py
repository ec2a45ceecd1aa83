"""What the parts of a decoder hand to each other: nests of tensors, passed on whole.

B batch, S source steps, D memory depth, U units. `()` is an empty nest: trees, loops and strategies pass it
through. Inside the decoding loop the K hypotheses of a source have an axis of their own after the batch.
"""

from typing import NamedTuple


class Encoded(NamedTuple):
    """A source, encoded: what every decoder step may read."""

    memory: object  # (B, S, D), the encoder's states
    memory_mask: object  # (B, S) boolean, True = real token
    keys: object = ()  # what the attention computes once per source, a nest; the projected memory or more
    tokens: object = ()  # (B, S) int32 source ids, for a head that copies


class History(NamedTuple):
    """What an attention that looks back remembers, float32 whatever the policy."""

    previous: object  # (B, S), the weights of the last step
    total: object  # (B, S), the sum of the weights of all steps so far
    normalizer: object = ()  # what the normalizer keeps for itself, batch first


class DecoderState(NamedTuple):
    """What one step leaves to the next."""

    recurrent: tuple  # for each recurrent layer its states: (h, c) or (h,), each (B, U)
    fed: object = ()  # the attentional vector that is fed back
    attention: object = ()  # the `History` of an attention that looks back
    head: object = ()  # what the head keeps, a nest, batch first


class DecoderStep(NamedTuple):
    """What one step found, or all steps with an axis T after the batch. A head reads what it needs."""

    vector: object  # (B, U), or (B, U + D) without the attentional layer
    h: object  # (B, U)
    context: object  # (B, D)
    weights: object  # (B, S); the mean of several heads
    scores: object = ()  # (B, S), what the weights were made of; the mean of several heads


class Attended(NamedTuple):
    """What the attention found in one step, or in all steps with an axis T after the batch."""

    context: object  # (B, D)
    weights: object  # (B, S)
    scores: object  # (B, S)
    history: object  # the `History` after the step, or ()
