"""Serves the explainer on this machine. If there is no model yet, it first trains one that reads dates.

python examples/explainer/serve.py [--model FILE.tflite] [--text TEXT] [--port 8000]
"""

import argparse
import contextlib
import functools
import http.server
import sys
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
G2P = ROOT / "examples" / "models" / "g2p_en.tflite"
BUILD = ROOT / "build" / "explainer"
DATES = BUILD / "dates.tflite"


class Handler(http.server.SimpleHTTPRequestHandler):
    """The files of the project, which the page links to, and the model at /model.tflite."""

    def __init__(self, *args, model, **kwargs):
        self.model = model
        super().__init__(*args, directory=str(ROOT), **kwargs)

    def translate_path(self, path):
        is_model = urllib.parse.urlsplit(path).path == "/model.tflite"
        return str(self.model) if is_model else super().translate_path(path)

    def guess_type(self, path):
        return "text/plain; charset=utf-8" if str(path).endswith(".py") else super().guess_type(path)

    def log_message(self, *_):
        pass


def train_on_dates() -> None:
    """Writes a small model that reads dates as people write them."""
    sys.path.append(str(ROOT / "examples"))
    import dates
    from keras_attention import Options, train

    BUILD.mkdir(parents=True, exist_ok=True)
    pairs, _ = dates.split(seed=0, train_size=20_000, test_size=1)
    file = BUILD / "dates.tsv"
    file.write_text("".join(f"{written}\t{standard}\n" for written, standard in pairs), encoding="utf-8")
    kinds = {"source_tokenizer": "char", "target_tokenizer": "char"}
    options = Options(units=64, embedding_dim=32, dropout=0.0, batch_size=64, epochs=5, **kinds)
    run = BUILD / "run"
    translator = train(file, run, options, resume=(run / "config.json").is_file())
    translator.export(DATES, "litert", signatures=["encode", "explain_step"], overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a .tflite of keras_attention")
    parser.add_argument("--text", help="what it reads first")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()

    model = options.model or (G2P if G2P.is_file() else DATES)
    if model == DATES and not DATES.is_file():
        train_on_dates()
    if not model.is_file():
        parser.error(f"there is no file {model}")
    text = options.text or {G2P: "THOUGH", DATES: "5.4.18"}.get(model, "")
    asked = urllib.parse.urlencode({"model": "/model.tflite", "text": text}, safe="/")
    handler = functools.partial(Handler, model=model)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        parser.error(f"port {options.port} cannot be used ({error}); choose another --port")
    with server, contextlib.suppress(KeyboardInterrupt):
        print(
            f"The explainer: http://127.0.0.1:{server.server_port}/examples/explainer/?{asked}", flush=True
        )
        server.serve_forever()


if __name__ == "__main__":
    main()
