"""Lines of handwritten digits, from the 1,797 images of 8 x 8 pixels that come with scikit-learn.

Training and test lines are made of different images, see `images`.
"""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

HEIGHT = 8  # pixels, and so the depth of a column
LARGEST = 16  # the value of black
FIRST_DIGIT_ID = 3  # the id of 0; the ids below are padding, unknown and the end
VOCABULARY_SIZE = FIRST_DIGIT_ID + 10
PARTS = {"train": (0.0, 0.7), "validation": (0.7, 0.75), "test": (0.75, 1.0)}


def images(part: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The images of "train", "validation" or "test", without blank columns at the sides, and their digits.

    An image is float32 (8, width) from 0, white, to 1, black.
    """
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    chosen = order[slice(*(round(share * len(order)) for share in PARTS[part]))]
    return [cropped(image) for image in digits.images[chosen]], digits.target[chosen]


def cropped(image: np.ndarray) -> np.ndarray:
    """An image with values up to 16 as float32 up to 1, without blank columns at its sides."""
    inked = np.flatnonzero(image.max(axis=0) > 0)
    return (image[:, inked[0] : inked[-1] + 1] / LARGEST).astype("float32")


def line(parts: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Images side by side, (8, width), with one to six blank columns around each."""
    blanks = random.integers(1, 7, len(parts) + 1)
    pieces = [np.zeros((HEIGHT, blanks[0]), "float32")]
    for part, blank in zip(parts, blanks[1:], strict=True):
        pieces += [part, np.zeros((HEIGHT, blank), "float32")]
    return np.concatenate(pieces, axis=1)


def distorted(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An image moved a little up or down, narrower or wider, slanted, fainter or darker, for training."""
    height, width = image.shape
    new_width = max(1, round(width * random.uniform(0.8, 1.25)))
    slant, shift = random.uniform(-0.25, 0.25), random.uniform(-0.7, 0.7)
    zoom = random.uniform(0.9, 1.15)
    rows, columns = np.mgrid[:height, : new_width + 2]
    middle = (height - 1) / 2
    from_row = (rows - middle) * zoom + middle + shift
    from_column = (columns - 1) * (width - 1) / max(new_width - 1, 1) + slant * (rows - middle)
    moved = map_coordinates(image, [from_row, from_column], order=1)
    moved = np.clip(moved * random.uniform(0.8, 1.2), 0, 1)
    inked = np.flatnonzero(moved.max(axis=0) > 0)
    return moved[:, inked[0] : inked[-1] + 1].astype("float32") if len(inked) else image


def lines(part: str, seed: int, distort: bool = False) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Endless lines of 1 to 8 digits: (columns, digits). The columns are float32 (width, 8)."""
    random = np.random.default_rng(seed)
    pictures, digits = images(part)
    while True:
        chosen = random.integers(len(digits), size=random.integers(1, 9))
        parts = [distorted(pictures[i], random) if distort else pictures[i] for i in chosen]
        yield line(parts, random).T, digits[chosen].tolist()
