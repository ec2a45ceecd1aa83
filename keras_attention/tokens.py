"""Token ids: what the reserved ones mean, and how a target is fed to the decoder."""

import numpy as np
from keras import ops

PADDING_ID = 0
UNKNOWN_ID = 1
END_ID = 2


def shift_right(tokens, start_id=END_ID):
    """Tokens that the decoder should name -> tokens that it is fed: `[start] + tokens[:-1]`.

    Args:
        tokens: (B, T) ids, array or tensor, each row `tokens + [end]`, then padding.
        start_id: the id in front, by default the end id.

    Returns:
        (B, T) ids, array or tensor as they came. The end id of a row may move into its padding, where
        the loss ignores it.
    """
    if isinstance(tokens, list | tuple):
        tokens = np.asarray(tokens)
    library = np if isinstance(tokens, np.ndarray) else ops
    start = library.full_like(tokens[:, :1], start_id)
    return library.concatenate([start, tokens[:, :-1]], axis=1)
