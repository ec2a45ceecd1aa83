"""The k largest entries, found in blocks, are those of `ops.top_k` in its order."""

import numpy as np
import pytest
from keras import ops

from keras_attention.decoding.top_k import blockwise_top_k


# A prime size cannot be divided into equal blocks.
@pytest.mark.parametrize(("size", "k"), [(3, 3), (1021, 3), (1024, 5), (1999, 3), (1999, 5), (2000, 5)])
def test_equals_top_k_even_with_ties(size, k):
    x = np.random.default_rng(size).integers(0, 40, (7, 2, size)).astype("float32")
    x[0, 0] = 1  # all are equal
    x[1, 0, 2:] = -np.inf
    x[2] = -np.inf
    x[3, 0, :-1] = -np.inf
    for found, expected in zip(blockwise_top_k(ops.convert_to_tensor(x), k), ops.top_k(x, k), strict=True):
        np.testing.assert_array_equal(found, expected)
