"""Token ids: what the reserved ones mean, how rows are padded and a target is fed."""

import numpy as np

PADDING_ID = 0
UNKNOWN_ID = 1
END_ID = 2


def pad(rows) -> np.ndarray:
    """Sequences -> one array as long as the longest, padded on the right with 0.

    Of ids int32 (B, S), of vectors (S, F) float32 (B, S, F).
    """
    depth = np.shape(rows[0])[1:]
    dense = np.full((len(rows), max(map(len, rows)), *depth), PADDING_ID, "float32" if depth else "int32")
    for out, row in zip(dense, rows, strict=True):
        out[: len(row)] = row
    return dense


def before_end(most: int) -> slice:
    """The pieces that are read of a text, where they and the end id may be `most` ids: the first ones."""
    return slice(most - 1)


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
    if isinstance(tokens, np.ndarray):
        library = np
    else:
        from keras import ops as library  # late: the command line reads this module without Keras
    start = library.full_like(tokens[:, :1], start_id)
    return library.concatenate([start, tokens[:, :-1]], axis=1)
