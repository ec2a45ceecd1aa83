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
        path: the file to write; its ending names the format (.png, .svg, .pdf).

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: other numbers of pieces than of weights, or an ending that matplotlib does not know.
    """
    try:
        from matplotlib import font_manager
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("Pictures need matplotlib: `pip install 'keras-attention[plot]'`.") from None
    if attention.shape != (len(target_pieces), len(source_pieces)):
        raise ValueError(
            "`attention` must be (target pieces, source pieces). Received: "
            f"{attention.shape}, {len(target_pieces)} and {len(source_pieces)} pieces."
        )
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in FONTS if name in installed] or ["sans-serif"]
    figure = Figure(figsize=(2 + 0.3 * len(source_pieces), 1.5 + 0.3 * len(target_pieces)))
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
