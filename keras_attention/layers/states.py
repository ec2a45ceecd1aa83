"""What the parts of a decoder pass to each other: nests of tensors, each passed on as a whole.

B batch, S source steps, D memory depth, U units. `()` is an empty nest: trees, loops and strategies pass it
through. Inside the decoding loop the K hypotheses of a source have their own axis after the batch.
"""

from typing import NamedTuple

from keras import ops


class Encoded(NamedTuple):
    """An encoded source, which every decoder step may read."""

    memory: object  # (B, S, D), the encoder's states
    memory_mask: object  # (B, S) boolean, True = real token
    keys: object = ()  # a nest that the attention computes once per source: the projected memory or more
    tokens: object = ()  # (B, S) int32 source ids, for a head that copies
    given_weights: object = ()  # (B, S) float32, used instead of the attention's where not negative


class History(NamedTuple):
    """What an attention that looks back remembers, in float32 whatever the dtype policy."""

    previous: object  # (B, S), the weights of the last step
    total: object  # (B, S), the sum of the weights of all steps so far
    normalizer: object = ()  # what the normalizer keeps for itself, batch first


class DecoderState(NamedTuple):
    """What one step passes to the next."""

    recurrent: tuple  # the states of each recurrent layer: (h, c) or (h,), each (B, U)
    fed: object = ()  # the attentional vector that is fed back
    attention: object = ()  # the `History` of an attention that looks back
    head: object = ()  # the head's state: a nest, batch first


class DecoderStep(NamedTuple):
    """The results of one step, or of all steps with an axis T after the batch, for a head to read."""

    vector: object  # (B, U), or (B, U + D) without the attentional layer
    h: object  # (B, U)
    context: object  # (B, D)
    weights: object  # (B, S); the mean of several heads
    scores: object = ()  # (B, S), from which the weights were computed; the mean of several heads


class Attended(NamedTuple):
    """The results of the attention for one step, or for all steps with an axis T after the batch."""

    context: object  # (B, D)
    weights: object  # (B, S)
    scores: object  # (B, S)
    history: object  # the `History` after the step, or ()


def zeros_beside(memory, depth, dtype):
    """(B, S, D) memory -> (B, depth) zeros for its rows."""
    # Made from the memory itself, because the shape of a KerasTensor may be unknown. Not `ops.tile`: Keras
    # 3.12 (Python 3.10) does not infer the depth of its result.
    return ops.cast(ops.zeros_like(memory[:, 0, :1]), dtype) + ops.zeros((1, depth), dtype=dtype)
