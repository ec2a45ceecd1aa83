"""Token ids: the reserved ones, padding, and what the decoder is fed."""

import numpy as np

PADDING_ID = 0
UNKNOWN_ID = 1
END_ID = 2


def pad(rows) -> np.ndarray:
    """Sequences -> one array as long as the longest, padded on the right with 0.

    Sequences of ids give int32 (B, S), vectors (S, F) give float32 (B, S, F).
    """
    depth = np.shape(rows[0])[1:]
    dense = np.full((len(rows), max(map(len, rows)), *depth), PADDING_ID, "float32" if depth else "int32")
    for out, row in zip(dense, rows, strict=True):
        out[: len(row)] = row
    return dense


def before_end(most: int) -> slice:
    """The slice of a text's pieces that is read: the first `most - 1`, which leaves room for the end id."""
    return slice(most - 1)


def shift_right(tokens, start_id=END_ID):
    """Tokens that the decoder should predict -> tokens that it is fed: `[start] + tokens[:-1]`.

    Args:
        tokens: (B, T) ids, array or tensor, each row `tokens + [end]`, then padding.
        start_id: the id in front, by default the end id.

    Returns:
        (B, T) ids, an array or a tensor like `tokens`. The end id of a row may move into its padding,
        where the loss ignores it.
    """
    if isinstance(tokens, list | tuple):
        tokens = np.asarray(tokens)
    if isinstance(tokens, np.ndarray):
        library = np
    else:
        from keras import ops as library  # late: the command line reads this module without Keras
    start = library.full_like(tokens[:, :1], start_id)
    return library.concatenate([start, tokens[:, :-1]], axis=1)
