"""Pictures of attention."""

from collections.abc import Sequence

import numpy as np

# Fonts that are tried for each character, in this order: together they cover most scripts.
FONTS = [
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Devanagari"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Arial Unicode MS", "sans-serif"),
]


def plot_attention(attention: np.ndarray, source_pieces: Sequence[str], target_pieces: Sequence[str], path):
    """Draws attention weights as a picture: source pieces across, target pieces down.

    Args:
        attention: (T, S) weights.
        source_pieces: S labels.
        target_pieces: T labels.
        path: the file to write; its extension sets the format (.png, .svg, .pdf).

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the weights and pieces differ in number, or matplotlib does not know the extension.
    """
    font_manager, figure_class = _matplotlib()
    if attention.shape != (len(target_pieces), len(source_pieces)):
        raise ValueError(
            "`attention` must be (target pieces, source pieces). Received: "
            f"{attention.shape}, {len(target_pieces)} and {len(source_pieces)} pieces."
        )
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in FONTS if name in installed] or ["sans-serif"]
    figure = figure_class(figsize=(2 + 0.3 * len(source_pieces), 1.5 + 0.3 * len(target_pieces)))
    axes = figure.add_subplot()
    image = axes.imshow(attention, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source_pieces)), source_pieces, rotation=90, fontfamily=fonts)
    axes.set_yticks(range(len(target_pieces)), target_pieces, fontfamily=fonts)
    axes.xaxis.tick_top()
    axes.set_xlabel("source")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("target")
    figure.colorbar(image, label="attention weight")
    figure.savefig(path, bbox_inches="tight", dpi=150)


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
