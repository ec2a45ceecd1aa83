"""Pictures and pages of attention."""

import re
from html import unescape

import numpy as np
import pytest

from keras_attention.plotting import plot_attention
from keras_attention.text.translations import Translations

WEIGHTS = [
    np.array([[0.9, 0.1, 0.0], [0.2, 0.004, 0.796]], "float32"),
    np.array([[0.25, 0.5, 0.25]], "float32"),
]
BEAM = Translations(
    ["<b>&", "שלום"],
    np.array([-0.5, -1.25], "float32"),
    WEIGHTS,
    [["<a>", "é", "</s>"]] * 2,
    [["<b>&", "</s>"], ["שלום"]],
)


def tables(page):
    """(pieces of the source, pieces of the target, weights in percent) of each table of a page."""
    for table in re.findall("<table>.*?</table>", page, flags=re.DOTALL):
        source, target = (
            [unescape(piece) for piece in re.findall(f'<th scope="{scope}"><bdi>(.*?)</bdi></th>', table)]
            for scope in ("col", "row")
        )
        cells = re.findall(r"<td[^>]*>(\d*)</td>", table)[1:]  # without the corner
        yield source, target, np.array([int(cell or 0) for cell in cells]).reshape(len(target), -1)


def test_a_page_shows_the_pieces_and_weights_of_each_hypothesis(tmp_path):
    plot_attention(BEAM, tmp_path / "beam.html")
    page = (tmp_path / "beam.html").read_text(encoding="utf-8")
    for index, (source, target, percent) in enumerate(tables(page)):
        assert source == BEAM.source_pieces[index]
        assert target == BEAM.target_pieces[index]
        np.testing.assert_array_equal(percent, np.round(100 * WEIGHTS[index]))
    assert index == 1
    assert "log-probability -0.50" in page
    assert "log-probability -1.25" in page


def test_a_page_needs_no_other_file_and_no_colour(tmp_path):
    plot_attention(BEAM, tmp_path / "beam.html")
    page = (tmp_path / "beam.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|<img|@import|url\(", page)
    largest = re.findall(r'<td class="most" title="([\d.]+)"', page)
    assert [float(weight) for weight in largest] == [0.9, 0.796, 0.5]


def test_a_picture_has_an_axis_for_each_hypothesis(tmp_path):
    plot_attention(BEAM, tmp_path / "beam.svg")
    assert (tmp_path / "beam.svg").read_text().count('id="axes_') == len(WEIGHTS) + 1  # and the colour bar


@pytest.mark.parametrize("name", ["a.png", "a.html"])
def test_weights_that_do_not_match_their_pieces_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="must be \\(target pieces, source pieces\\)"):
        plot_attention(BEAM._replace(source_pieces=[["a"], ["b"]]), tmp_path / name)
    with pytest.raises(ValueError, match="no translations"):
        plot_attention(Translations([], np.zeros(0), [], [], []), tmp_path / name)
    assert not list(tmp_path.iterdir())
