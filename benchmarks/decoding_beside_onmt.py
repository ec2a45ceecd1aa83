"""Compares CPU seconds of decoding with OpenNMT-py, using the models that `time_to_quality.py` trained.

    python benchmarks/decoding_beside_onmt.py RESULTS TEST.tsv [--venvs build/peers] [--mark 20]

RESULTS is the output folder of `time_to_quality.py`. Each command translates all sources of TEST, and then
only the shortest one. The difference excludes the start-up time. One core, batches of 64, the minimum of
the repeats. The commands take turns. OpenNMT-py writes at most 100 tokens; our model has its own limit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from quality_peers import OpenNMT
from quality_run import environment, pinned
from quality_systems import BATCH

from keras_attention.text.pair_files import read_references
from keras_attention.text.tokenizers import SentencePieceTokenizer

BEAMS = {"greedy": 1, "beam 5": 5}


def cpu_seconds(command: list, source: Path, core: int, **variables) -> float:
    """User and system time of a command that reads `source`."""
    before = os.times()
    with source.open() as given:
        subprocess.run(
            pinned(command, core),
            stdin=given,
            stdout=subprocess.DEVNULL,
            env=environment(**variables),
            check=True,
        )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def commands(options, beam: int, source: Path) -> dict[str, tuple[list, dict]]:
    """The commands that translate a file of texts (ours) or tokens (OpenNMT-py), and their environments."""
    folder = options.results / "multi30k"
    ours = [
        Path(sys.executable).with_name("keras-attention"),
        "translate",
        folder / f"ours/{options.mark}.keras",
    ]
    if beam > 1:
        ours += ["--beam", beam]
    peer = OpenNMT(options.venvs, [])
    onmt = [peer.python, "-m", "onmt.bin.translate", "-model", folder / f"onmt/{options.mark}.pt"]
    onmt += ["-src", source.with_suffix(".tokens"), "-output", os.devnull]
    onmt += ["-beam_size", beam, "-batch_size", BATCH, "-max_length", 100]
    return {"keras-attention": (ours, {}), peer.title: (onmt, peer.variables)}


def main(options) -> None:
    texts = sorted((text for text, *_ in read_references(options.test_file)), key=len)
    model = options.results / "data" / "multi30k" / "src.model"
    tokenizer = SentencePieceTokenizer(model.read_bytes(), "unigram").processor
    with tempfile.TemporaryDirectory() as folder:
        files = {"all": Path(folder) / "all.txt", "one": Path(folder) / "one.txt"}
        for file, some in zip(files.values(), (texts, texts[:1]), strict=True):
            file.write_text("".join(f"{text}\n" for text in some), encoding="utf-8")
            tokens = (" ".join(tokenizer.encode(text, out_type=str)) for text in some)
            file.with_suffix(".tokens").write_text(
                "".join(f"{line}\n" for line in tokens), encoding="utf-8"
            )
        print(f"CPU seconds per {len(texts):,} sentences\n\n| | greedy | beam 5 |\n|---|---|---|")
        least: dict = {}
        for _ in range(options.repeats):
            for beam in BEAMS.values():
                for part, file in files.items():
                    for name, (command, variables) in commands(options, beam, file).items():
                        seconds = cpu_seconds(command, file, options.core, **variables)
                        key = (name, beam, part)
                        least[key] = min(seconds, least.get(key, seconds))
        for name in dict.fromkeys(name for name, _, _ in least):
            cells = [least[name, beam, "all"] - least[name, beam, "one"] for beam in BEAMS.values()]
            print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("test_file", type=Path)
    parser.add_argument("--venvs", type=Path, default=Path("build/peers"))
    parser.add_argument("--mark", default="20", help="CPU minutes of the models")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    main(parser.parse_args())
