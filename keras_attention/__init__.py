"""Recurrent encoder-decoder models with attention for Keras 3, from `fit` to a server.

The idea in five sentences (Alammar 2018, after Bahdanau 2014 and Luong 2015), and where to find each:

1. The encoder hands over all its hidden states, the memory: `layers.encoder.Encoder.call`.
2. At each step the decoder RNN takes the embedding of the previous token and its previous state and
   yields a new state h: `layers.cell.AttentionDecoderCell.call`.
3. Every memory state gets a score against h, a softmax makes them attention weights, and the weighted sum
   of the memory is the context C: `layers.context.AttentionContext.call`.
4. [h; C] are concatenated and go through a feed-forward layer that predicts the output token:
   `layers.cell.AttentionDecoderCell._combine`, and the heads in `layers.heads`.
5. Repeat, feeding the token back, until the end token: `decoding.strategy.Strategy.__call__`.

Names are loaded on first use, so a LiteRT file can be read without Keras and TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from keras_attention.after_keras import run_after_keras
from keras_attention.quiet import is_command

if TYPE_CHECKING:
    from keras_attention.decoding.beam import Beam
    from keras_attention.decoding.explanation import Explanation
    from keras_attention.decoding.sampling import Greedy, Sample
    from keras_attention.decoding.strategy import Decoded, Strategy
    from keras_attention.sources import SourceSpec
    from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID, pad, shift_right
    from keras_attention.with_keras import *

__version__ = "0.1.0"

__all__ = [
    "END_ID",
    "PADDING_ID",
    "UNKNOWN_ID",
    "Adam",
    "AdditiveScore",
    "AlignmentLoss",
    "Attended",
    "AttentionContext",
    "AttentionDecoder",
    "AttentionDecoderCell",
    "Beam",
    "Chunkwise",
    "ConcatScore",
    "CoverageLoss",
    "CoverageScore",
    "Decoded",
    "DecoderState",
    "DecoderStep",
    "DenseHead",
    "DotScore",
    "Encoded",
    "Encoder",
    "Ensemble",
    "Entmax15",
    "ExactMatch",
    "Explanation",
    "FeaturesEncoder",
    "Gated",
    "GeneralScore",
    "Greedy",
    "HardHead",
    "Head",
    "HeadProjections",
    "History",
    "LocalMonotonic",
    "LocalPredictive",
    "LocationScore",
    "ModelEncoder",
    "Monotonic",
    "Muon",
    "NoSource",
    "Normalizer",
    "Options",
    "Perplexity",
    "PointerHead",
    "Rescored",
    "Sample",
    "ScaledDotScore",
    "Score",
    "SentencePieceTokenizer",
    "Seq2Seq",
    "SequencePairs",
    "Softmax",
    "SourceSpec",
    "Sparsemax",
    "Strategy",
    "TiedHead",
    "TokenAccuracy",
    "TokenCrossentropy",
    "Translator",
    "VectorEncoder",
    "distill",
    "lengths_mask",
    "masked_softmax",
    "pad",
    "padding_mask",
    "sequence_lengths",
    "shift_right",
    "train",
]

WITHOUT_KERAS = {
    "decoding.beam": ("Beam",),
    "decoding.explanation": ("Explanation",),
    "decoding.sampling": ("Greedy", "Sample"),
    "decoding.strategy": ("Decoded", "Strategy"),
    "sources": ("SourceSpec",),
    "tokens": ("END_ID", "PADDING_ID", "UNKNOWN_ID", "pad", "shift_right"),
}


def _load_with_keras():
    importlib.import_module("keras_attention.with_keras")


def _module_without_keras(name):
    return next((module for module, names in WITHOUT_KERAS.items() if name in names), None)


if not is_command():  # a command loads what it needs
    run_after_keras(_load_with_keras)


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"keras_attention.{_module_without_keras(name) or 'with_keras'}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
