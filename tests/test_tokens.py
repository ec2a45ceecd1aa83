import numpy as np
from keras import ops

from keras_attention import shift_right

TOKENS = np.array([[4, 7, 2], [5, 2, 0]], dtype="int32")


def test_shift_right_puts_the_start_in_front():
    np.testing.assert_array_equal(shift_right(TOKENS), [[2, 4, 7], [2, 5, 2]])
    np.testing.assert_array_equal(shift_right(TOKENS, start_id=1), [[1, 4, 7], [1, 5, 2]])


def test_shift_right_keeps_the_kind_and_type():
    assert isinstance(shift_right(TOKENS), np.ndarray)
    assert shift_right(TOKENS).dtype == TOKENS.dtype
    assert ops.is_tensor(shift_right(ops.convert_to_tensor(TOKENS)))
