"""The data of examples/read_digits.py, and the picture that it draws."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_attention.plotting import plot_attention_on_image

pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import digits


def test_no_image_is_in_two_parts():
    pictures = {part: {image.tobytes() for image in digits.images(part)[0]} for part in digits.PARTS}
    assert sum(map(len, pictures.values())) > 1780  # a few images occur twice, in one part
    for one, other in itertools.combinations(pictures.values(), 2):
        assert not one & other


@pytest.mark.parametrize("distort", [False, True])
def test_lines_are_columns_of_their_digits(distort):
    found = list(itertools.islice(digits.lines("validation", 0, distort), 50))
    for columns, numbers in found:
        assert columns.shape[1] == digits.HEIGHT
        assert 0 <= columns.min() < columns.max() <= 1
        inked = (columns.max(axis=1) > 0).astype(int)
        assert (np.diff(inked) == 1).sum() >= len(numbers) > 0  # each begins after a gap
        assert inked[0] == inked[-1] == 0
    assert {len(numbers) for _, numbers in found} == set(range(1, 9))


def test_the_picture_has_a_row_for_each_piece(tmp_path):
    image = np.eye(8, 19)
    plot_attention_on_image(np.full((3, 5), 0.2), image, ["7", "1", "end"], tmp_path / "a.png", 4)
    assert (tmp_path / "a.png").stat().st_size > 1000
    for attention, pieces in ((np.ones((3, 20)), "abc"), (np.ones((3, 5)), "ab")):
        with pytest.raises(ValueError, match="must be"):
            plot_attention_on_image(attention, image, list(pieces), tmp_path / "b.png", 4)
    assert not (tmp_path / "b.png").exists()
