"""The data of `time_to_quality.py`: one split and one set of tokenizers for every system.

A task's folder holds `train.tsv` and `dev.tsv` (text, for ours) and the same pairs as tokens separated by
spaces: `train.src`, `train.tgt`, `dev.src`, with the vocabularies `src.vocab` and `tgt.vocab`.
"""

import random
from pathlib import Path

from keras_attention.text.pair_files import read_pairs, read_references
from keras_attention.text.pieces import SPACE
from keras_attention.text.tokenizers import SentencePieceTokenizer
from keras_attention.training.new_translator import NORMALIZATIONS

TASKS = {
    "multi30k": {
        "train": "multi30k_en_de/train.lc.tok.tsv.gz",
        "dev": "multi30k_en_de/dev.lc.tok.tsv.gz",
        "vocabulary_size": 6000,
        "metric": "BLEU",
    },
    "cmudict": {
        "train": "cmudict_g2p/train.tsv.gz",
        "dev": None,  # words of the training file, held out
        "vocabulary_size": None,
        "metric": "WER %",
    },
}
HELD_OUT = 2670  # words of CMUdict
SIDES = {"src": "source", "tgt": "target"}


def prepare(task: str, data: Path, folder: Path) -> None:
    """Writes the files of a task, unless they exist."""
    if (folder / "tgt.vocab").exists():  # the last one written
        return
    folder.mkdir(parents=True, exist_ok=True)
    settings = TASKS[task]
    pairs = [(pair.source, pair.target) for pair in read_pairs(data / settings["train"])]
    if settings["dev"]:
        held_out = [(pair.source, pair.target) for pair in read_pairs(data / settings["dev"])]
    else:
        words = set(random.Random(0).sample(sorted({source for source, _ in pairs}), HELD_OUT))
        held_out = [pair for pair in pairs if pair[0] in words]
        pairs = [pair for pair in pairs if pair[0] not in words]
    random.Random(0).shuffle(pairs)  # a dictionary is in alphabetical order
    for name, written in (("train", pairs), ("dev", held_out)):
        _write(folder / f"{name}.tsv", ["\t".join(pair) for pair in written])
    sources = {
        "train": [source for source, _ in pairs],
        "dev": [text for text, *_ in read_references(folder / "dev.tsv")],
    }
    targets = {"train": [target for _, target in pairs], "valid": [target for _, target in held_out]}
    sources["valid"] = [source for source, _ in held_out]
    for side, texts in (("src", sources), ("tgt", targets)):
        split = _splitter(folder, side, texts["train"], settings["vocabulary_size"])
        tokens = {name: [split(text) for text in lines] for name, lines in texts.items()}
        for name, lines in tokens.items():
            _write(folder / f"{name}.{side}", [" ".join(line) for line in lines])
        model = folder / f"{side}.model"
        known = _pieces(model) if model.exists() else {token for line in tokens["train"] for token in line}
        _write(folder / f"{side}.vocab", sorted(known))


def _splitter(folder, side, texts, vocabulary_size):
    """The function that cuts a text into tokens: SentencePiece, or letters (source) and phones (target)."""
    if vocabulary_size is None:
        return list if side == "src" else str.split
    tokenizer = SentencePieceTokenizer.train(texts, "unigram", vocabulary_size, NORMALIZATIONS[SIDES[side]])
    (folder / f"{side}.model").write_bytes(tokenizer.model)
    return lambda text: tokenizer.processor.encode(text, out_type=str)


def _pieces(model: Path) -> set[str]:
    processor = SentencePieceTokenizer(model.read_bytes(), "unigram").processor
    return {processor.id_to_piece(i) for i in range(3, processor.vocab_size())}


def joined(task: str, line: str) -> str:
    """A line of tokens -> the text that is scored."""
    tokens = line.split()
    if TASKS[task]["vocabulary_size"] is None:
        return " ".join(tokens)
    return " ".join("".join(tokens).replace(SPACE, " ").split())


def _write(path: Path, lines) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
