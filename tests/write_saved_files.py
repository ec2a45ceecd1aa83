"""Writes `tests/data/saved`: files that every later version must load, and what they answered.

    python tests/write_saved_files.py

Run it again only when a format changes on purpose, and say so in the changelog.
"""

import json
import shutil
from pathlib import Path

import keras
import numpy as np

import keras_attention as ka

FOLDER = Path(__file__).parent / "data" / "saved"
SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TEXTS = ["anna", "otto", "nota bene"]
KINDS = {  # most layers that have weights or options of their own
    "additive_fed": {"score": ka.AdditiveScore(normalize=True), "input_feeding": True, "num_layers": 2},
    "location_heads_tied": {"score": "location", "num_heads": 2, "head": "tied", "embedding_dim": 4},
    "concat_local_p_first": {"score": "concat", "normalizer": "local_p", "attend_first": True},
    "coverage_chunkwise_between_pointer": {
        "score": "coverage",
        "normalizer": ka.Chunkwise(2, units=3),
        "cell": "gru",
        "attend_between": True,
        "head": ka.PointerHead(13, [0, 1, 2, *range(3, 11)]),
    },
    "hard_monotonic_template": {
        "head": "hard_monotonic",
        "cell": keras.layers.LSTM(1, recurrent_dropout=0.2),
        "word_dropout": 0.1,
        "scheduled_sampling": 0.1,
    },
}
STRATEGY = ka.Beam(3, min_length=4)


def make_model(options):
    options = {"embedding_dim": 7, **options}
    encoder = ka.Encoder(11, 5, 6, bidirectional="first", num_layers=2)
    return with_larger_weights(ka.Seq2Seq(encoder, ka.AttentionDecoder(13, units=4, **options)))


def with_larger_weights(model):
    random = np.random.default_rng(3)
    for weight in model.trainable_weights:  # so that answers differ
        weight.assign(weight + random.normal(size=weight.shape, scale=0.5))
    return model


def make_translator():
    tokenizers = [
        ka.SentencePieceTokenizer.train(["anna", "otto", "nota"] * 5, kind, 20, "identity")
        for kind in ("char", "word")
    ]
    sizes = [tokenizer.vocabulary_size for tokenizer in tokenizers]
    model = ka.Seq2Seq(ka.Encoder(sizes[0], 5, 6), ka.AttentionDecoder(sizes[1], 7, 4))
    model = with_larger_weights(model)
    model.decoder.head.dense.bias.assign([0, -2, -2, 1, 1, 1])  # words, not the end alone
    return ka.Translator(model, *tokenizers, 20, 6)


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    keras.utils.set_random_seed(0)
    answers = {}
    for name, options in KINDS.items():
        model = make_model(options)
        model.save(FOLDER / f"{name}.keras")
        found = model.generate(SOURCE, STRATEGY, max_length=6)
        answers[name] = {"tokens": found.tokens.tolist(), "scores": found.scores.tolist()}
    translator = make_translator()
    translator.save(FOLDER / "translator.keras")
    options = {"signatures": ["greedy_decode"], "source_length": 12}
    translator.export(FOLDER / "translator.tflite", "litert", **options)
    found = translator.translate(TEXTS)
    answers["translator"] = {"texts": found.texts, "scores": found.scores.tolist()}
    (FOLDER / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
