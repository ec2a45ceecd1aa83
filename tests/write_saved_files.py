"""Writes `tests/data/saved`: files that every later version must load, and what they answered.

    .venv-oldest/bin/python tests/write_saved_files.py

Run it with the oldest versions (`make test-oldest`), since an older Keras cannot read what a newer one
saved. It writes only what `answers.json` does not name. When a format changes on purpose, remove a file and
its answers there, and say so in the changelog.
"""

import json
from pathlib import Path

import keras
import numpy as np

import keras_attention as ka
from keras_attention.sources import as_source

FOLDER = Path(__file__).parent / "data" / "saved"
SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TEXTS = ["anna", "otto", "nota bene"]
HANGUL = ["한국", "각", "하 é"]
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
ENCODERS = {  # of sources other than ids, with a plain decoder
    "vectors_front_end_pyramid": lambda: ka.VectorEncoder(
        4,
        6,
        pyramid=1,
        front_end=[keras.layers.Conv1D(5, 3, padding="same"), keras.layers.MaxPooling1D(2, padding="same")],
    ),
    "features_gated": lambda: ka.FeaturesEncoder(ka.Encoder(11, 5, 6), ka.Encoder(7, 5, 6)),
    "keras_model": lambda: keras.Sequential(
        [keras.Input((None, 4)), keras.layers.GRU(6, return_sequences=True)]
    ),
}
STRATEGY = ka.Beam(3, min_length=4)
TAGS = ["V;PST", "N", "V;PL"]


def make_source(model):
    """The fixed source of a model: ids, vectors of the same lengths, or ids with features."""
    given = {
        "source": SOURCE
        if model.source_specs()["source"].is_integer
        else np.sin(np.arange(60)).reshape(3, 5, 4),
        "source_lengths": np.array([5, 2, 3]),
        "features": np.array([[3, 2], [5, 2], [6, 2]]),
    }
    return as_source({name: given[name] for name in model.source_specs()})


def make_model(options):
    options = {"embedding_dim": 7, **options}
    encoder = ka.Encoder(11, 5, 6, bidirectional="first", num_layers=2)
    return with_larger_weights(ka.Seq2Seq(encoder, ka.AttentionDecoder(13, units=4, **options)))


def with_larger_weights(model):
    random = np.random.default_rng(3)
    for weight in model.trainable_weights:  # so that answers differ
        weight.assign(weight + random.normal(size=weight.shape, scale=0.5))
    return model


def make_model_of(encoder):
    normalizer = ka.Gated() if isinstance(encoder, ka.FeaturesEncoder) else "softmax"
    return with_larger_weights(ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4, normalizer=normalizer)))


def make_translator_with_features():
    """A translator with decomposed letters and with tags."""
    letters = ka.SentencePieceTokenizer.train(["한국", "각하", "café"] * 5, "char", 30, "identity", "NFD")
    tags = ka.SentencePieceTokenizer.train(TAGS, "word", 9, "identity", separators=";")
    sizes = letters.vocabulary_size, tags.vocabulary_size
    encoder = ka.FeaturesEncoder(ka.Encoder(sizes[0], 5, 6), ka.Encoder(sizes[1], 5, 6))
    decoder = ka.AttentionDecoder(sizes[0], 7, 4, normalizer=ka.Gated())
    model = with_larger_weights(ka.Seq2Seq(encoder, decoder))
    return ka.Translator(model, letters, letters, 20, 6, features_tokenizer=tags)


def make_translator():
    tokenizers = [
        ka.SentencePieceTokenizer.train(["anna", "otto", "nota"] * 5, kind, 20, "identity")
        for kind in ("char", "word")
    ]
    sizes = [tokenizer.vocabulary_size for tokenizer in tokenizers]
    model = ka.Seq2Seq(ka.Encoder(sizes[0], 5, 6), ka.AttentionDecoder(sizes[1], 7, 4))
    model = with_larger_weights(model)
    model.decoder.head.dense.bias.assign([0, -2, -2, 1, 1, 1])  # so that it writes words before the end
    return ka.Translator(model, *tokenizers, 20, 6)


def write(name, model, source):
    model.save(FOLDER / f"{name}.keras")
    found = model.generate(source, STRATEGY, max_length=6)
    return {"tokens": found.tokens.tolist(), "scores": found.scores.tolist()}


def write_translator(name, translator, texts, **options):
    translator.save(FOLDER / f"{name}.keras")
    settings = {"signatures": ["greedy_decode"], "source_length": 12, "overwrite": True}
    translator.export(FOLDER / f"{name}.tflite", "litert", **settings)
    found = translator.translate(texts, **options)
    return {"texts": found.texts, "scores": found.scores.tolist()}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    answers = (
        json.loads((FOLDER / "answers.json").read_text()) if (FOLDER / "answers.json").is_file() else {}
    )
    models = {name: lambda options=options: make_model(options) for name, options in KINDS.items()}
    models |= {name: lambda make=make: make_model_of(make()) for name, make in ENCODERS.items()}
    for name, make in models.items():
        if name not in answers:
            model = make()
            answers[name] = write(name, model, make_source(model))
    if "translator" not in answers:
        answers["translator"] = write_translator("translator", make_translator(), TEXTS)
    if "translator_features" not in answers:
        made = make_translator_with_features()
        answers["translator_features"] = write_translator(
            "translator_features", made, HANGUL, features=TAGS
        )
    (FOLDER / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
