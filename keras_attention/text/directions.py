"""Puts what was written from right to left into the order of reading."""

import numpy as np

from keras_attention.decoding.strategy import Decoded
from keras_attention.tokens import END_ID, PADDING_ID


def turned(found: Decoded) -> Decoded:
    """What was written from right to left, in the order of reading. Ends and padding keep their places."""
    count = np.sum((found.tokens != PADDING_ID) & (found.tokens != END_ID), axis=-1, keepdims=True)
    place = np.arange(found.tokens.shape[-1])
    order = np.where(place < count, count - 1 - place, place)
    return found._replace(
        tokens=np.take_along_axis(found.tokens, order, -1),
        token_scores=np.take_along_axis(found.token_scores, order, -1),
        attention=np.take_along_axis(found.attention, order[..., None], -2),
    )
