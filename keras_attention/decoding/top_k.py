"""The k largest of many numbers, found in blocks: faster than `ops.top_k` over all of them."""

import math

from keras import ops

MIN_SIZE = 1024  # below this, `ops.top_k` is as fast


def blockwise_top_k(x, k):
    """Like `ops.top_k`: (..., V) floats, an `int` k -> the k largest of each row and their int32 indices.

    The k largest are in the k blocks with the largest maxima, so only these blocks are searched. Among
    equal numbers, the one with the smaller index comes first.
    """
    size = x.shape[-1]
    block = _block_size(size, k)
    # Blocks are worthwhile only if most of them can be skipped.
    if k == 1 or size < MIN_SIZE or k * block * 4 > size:
        values, indices = ops.top_k(x, k)
        return values, ops.cast(indices, "int32")
    count = -(-size // block)
    rows = ops.reshape(x, (-1, size))
    if size % block:
        rows = ops.pad(rows, ((0, 0), (0, count * block - size)), constant_values=-math.inf)
    blocks = ops.reshape(rows, (-1, count, block))
    chosen = ops.cast(ops.top_k(ops.max(blocks, axis=-1), k)[1], "int32")
    chosen = -ops.top_k(-chosen, k)[0]  # back in row order, so that ties go to the smaller index
    kept = ops.reshape(take_places(blocks, chosen), (-1, k * block))
    values, indices = ops.top_k(kept, k)
    indices = ops.cast(indices, "int32")
    place = ops.floor_divide(indices, block)
    indices = take_places(chosen, place) * block + indices - place * block
    shape = (*ops.shape(x)[:-1], k)
    return ops.reshape(values, shape), ops.reshape(indices, shape)


def take_places(x, index):
    """(B, K, ...), (B, N) int32 indices -> (B, N, ...): the places of each row at its indices."""
    first = ops.arange(ops.shape(x)[0], dtype="int32") * x.shape[1]
    rows = ops.reshape(x, (-1, *ops.shape(x)[2:]))
    return ops.take(rows, ops.expand_dims(first, 1) + index, axis=0)


def _block_size(size, k):
    """About sqrt(size / k), which gives as many block maxima as numbers in the chosen blocks.

    A divisor of `size` close to it is preferred, because it avoids padding.
    """
    about = max(1, round(math.sqrt(size / k)))
    divisors = [n for n in range(about // 2 + 1, 2 * about + 1) if size % n == 0]
    return min(divisors, key=lambda n: abs(n - about), default=about)
