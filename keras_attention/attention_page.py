"""Attention as a page: one HTML file with tables of the weights, which needs no network and no script."""

from html import escape

from keras_attention.text.translations import Translations

LEAST = 0.005  # smaller weights are left out: they would read as 0

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Attention: {title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 1rem; color: #111; background: #fff; }}
main {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start; }}
section {{ overflow-x: auto; max-width: 100%; }}
h2 {{ font-size: 1.1rem; margin: 0 0 0.5rem; }}
h2 small {{ font-weight: normal; }}
table {{ border-collapse: collapse; }}
th {{ font-weight: normal; padding: 0.1rem 0.4rem; }}
tbody th {{ text-align: right; position: sticky; left: 0; background: #fff; }}
td {{ min-width: 1.6rem; height: 1.6rem; text-align: center; font-size: 0.8rem; border: 1px solid #ddd; }}
thead td {{ border: 0; }}
td.most {{ font-weight: bold; text-decoration: underline; }}
</style>
</head>
<body>
<h1>Where the model looks</h1>
<p>Each row is a piece of the output, each column a piece of the source. A number is an attention weight in
percent; the largest weight of a row is bold and underlined. Weights below half a percent are left out.</p>
<main>
{sections}
</main>
</body>
</html>
"""


def attention_page(found: Translations) -> str:
    """The attention of translations as an HTML page, side by side where there is room."""
    sections = [_section(*one) for one in zip(*found, strict=True)]
    return PAGE.format(title=escape(found.texts[0]), sections="\n".join(sections))


def _section(text, score, attention, source_pieces, target_pieces) -> str:
    columns = "".join(f'<th scope="col">{_text(piece)}</th>' for piece in source_pieces)
    rows = "\n".join(
        f'<tr><th scope="row">{_text(piece)}</th>{"".join(_cells(weights))}</tr>'
        for piece, weights in zip(target_pieces, attention, strict=True)
    )
    return (
        f"<section>\n<h2>{_text(text)} <small>log-probability {score:.2f}</small></h2>\n"
        f"<table>\n<thead><tr><td></td>{columns}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</section>"
    )


def _cells(weights):
    largest = weights.argmax()
    for place, weight in enumerate(weights):
        if weight < LEAST:
            yield "<td></td>"
            continue
        most = ' class="most"' if place == largest else ""
        ink = "#fff" if weight > 0.75 else "#111"  # whichever stands out more from the blue
        style = f"background: rgb(8 81 156 / {weight:.2f}); color: {ink}"
        yield f'<td{most} title="{weight:.4f}" style="{style}">{100 * weight:.0f}</td>'


def _text(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"
