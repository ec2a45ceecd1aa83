"""Pictures of attention."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_attention.attention_page import attention_page
from keras_attention.text.translations import Translations

# Fonts that are tried for each character, in this order: together they cover most scripts.
FONTS = [
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Devanagari"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Arial Unicode MS", "sans-serif"),
]


def plot_attention(found: Translations, path):
    """Draws the attention of translations side by side: source pieces across, target pieces down.

    Args:
        found: translations, such as `translator.translate(["stone"])` or, to compare the hypotheses of a
            beam, `translator.translate_n_best(["stone"])[0]`.
        path: the file to write; its extension sets the format (.png, .svg, .pdf). `.html` makes a page
            that shows the weights as numbers too, and needs no other file and no matplotlib.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are no translations, the weights and pieces differ in number, or matplotlib does
            not know the extension.
    """
    if not found.texts:
        raise ValueError("There are no translations to draw.")
    for weights, source, target in zip(*found[2:], strict=True):
        if weights.shape != (len(target), len(source)):
            raise ValueError(
                "`attention` must be (target pieces, source pieces). Received: "
                f"{weights.shape}, {len(target)} and {len(source)} pieces."
            )
    if Path(path).suffix.lower() == ".html":
        Path(path).write_text(attention_page(found), encoding="utf-8")
        return
    font_manager, figure_class = _matplotlib()
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in FONTS if name in installed] or ["sans-serif"]
    widths = [2 + 0.3 * len(source) for source in found.source_pieces]
    height = 1.5 + 0.3 * max(map(len, found.target_pieces))
    figure = figure_class(figsize=(sum(widths), height), layout="constrained")
    all_axes = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axes, text, score, *drawn in zip(all_axes, *found, strict=True):
        image = _draw(axes, *drawn, fonts)
        if len(widths) > 1:
            axes.set_title(f"{text}\nlog-probability {score:.2f}", fontfamily=fonts, parse_math=False)
    figure.colorbar(image, ax=all_axes, label="attention weight")
    figure.savefig(path, bbox_inches="tight", dpi=150)


def _draw(axes, attention, source_pieces, target_pieces, fonts):
    image = axes.imshow(attention, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source_pieces)), source_pieces, rotation=90, fontfamily=fonts)
    axes.set_yticks(range(len(target_pieces)), target_pieces, fontfamily=fonts)
    axes.xaxis.tick_top()
    axes.set_xlabel("source")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("target")
    return image


def plot_attention_on_image(
    attention: np.ndarray, image: np.ndarray, target_pieces: Sequence[str], path, reduction: int = 1
):
    """Draws attention weights over the image that was read, in one row for each target piece.

    Args:
        attention: (T, ceil(width / reduction)) weights.
        image: (height, width) from 0 (white) to 1 (black), without padding. The encoder reads its columns.
        target_pieces: T labels.
        path: the file to write; its extension sets the format (.png, .svg, .pdf).
        reduction: how many columns become one step of the memory, as in `VectorEncoder.reduction`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the weights do not match the number of pieces or columns.
    """
    _, figure_class = _matplotlib()
    height, width = image.shape
    if attention.shape != (len(target_pieces), -(-width // reduction)):
        raise ValueError(
            "`attention` must be (target pieces, ceil(width / reduction)). Received: "
            f"{attention.shape}, {len(target_pieces)} pieces, width {width}, reduction {reduction}."
        )
    weights = np.repeat(attention, reduction, axis=1)[:, None, :width]
    rows = len(target_pieces)
    figure = figure_class(figsize=(1 + 0.12 * width, 0.4 + 0.16 * height * rows))
    all_axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axes, piece, row in zip(all_axes, target_pieces, weights, strict=True):
        axes.imshow(image, cmap="Greys", vmin=0, vmax=1)
        opacity = np.broadcast_to(0.75 * row / max(row.max(), 1e-9), image.shape)
        axes.imshow(np.ones_like(image), cmap="autumn", alpha=opacity)
        axes.set_xticks([])
        axes.set_yticks([(height - 1) / 2], [piece])
    figure.savefig(path, bbox_inches="tight", dpi=150)


def _matplotlib():
    try:
        from matplotlib import font_manager
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("Pictures need matplotlib: `pip install 'keras-attention[plot]'`.") from None
    return font_manager, Figure
