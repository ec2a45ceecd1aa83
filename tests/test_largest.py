"""The k largest by blocks are those that `ops.top_k` finds, in its order."""

import numpy as np
import pytest
from keras import ops

from keras_attention.largest import largest


@pytest.mark.parametrize("size", [3, 1021, 1024, 1999, 2000])  # a prime has no blocks of one size
@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_top_k_also_between_equals(size, k):
    if k > size:
        pytest.skip("there are not so many")
    x = np.random.default_rng(size).integers(0, 40, (7, 2, size)).astype("float32")
    x[0, 0] = 1  # all are equal
    x[1, 0, 2:] = -np.inf
    x[2] = -np.inf
    for found, expected in zip(largest(ops.convert_to_tensor(x), k), ops.top_k(x, k), strict=True):
        np.testing.assert_array_equal(found, expected)
