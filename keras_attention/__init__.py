"""Recurrent encoder-decoder models with attention for Keras 3, from `fit` to a server.

The idea in five sentences (Alammar 2018, after Bahdanau 2014 and Luong 2015), and where each one is:

1. The encoder hands over all its hidden states, the memory: `layers.encoder.Encoder.call`.
2. At each step the decoder RNN takes the embedding of the previous token and its previous state and
   yields a new state h: `layers.cell.AttentionDecoderCell.call`.
3. Every memory state gets a score against h, a softmax makes them attention weights, and the weighted sum
   of the memory is the context C: `layers.context.AttentionContext.call`.
4. [h; C] are concatenated and go through a feed-forward layer that names the output token:
   `layers.cell.AttentionDecoderCell._combine`, and the heads in `layers.heads`.
5. Repeat, feeding the token back, until the end token: `decoding.strategy.Strategy.__call__`.
"""

from keras_attention.quiet import is_command

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
    "Entmax15",
    "ExactMatch",
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
    "Normalizer",
    "Perplexity",
    "PointerHead",
    "Sample",
    "ScaledDotScore",
    "Score",
    "Seq2Seq",
    "Softmax",
    "SourceSpec",
    "Sparsemax",
    "Strategy",
    "TiedHead",
    "TokenAccuracy",
    "TokenCrossentropy",
    "VectorEncoder",
    "lengths_mask",
    "masked_softmax",
    "pad",
    "padding_mask",
    "sequence_lengths",
    "shift_right",
]

if not is_command():  # a command imports what it needs, `--help` not even Keras
    import keras

    from keras_attention.decoding.beam import Beam
    from keras_attention.decoding.sampling import Greedy, Sample
    from keras_attention.decoding.strategy import Decoded, Strategy
    from keras_attention.layers.cell import AttentionDecoderCell
    from keras_attention.layers.context import AttentionContext
    from keras_attention.layers.decoder import AttentionDecoder
    from keras_attention.layers.encoder import Encoder
    from keras_attention.layers.features import FeaturesEncoder, Gated
    from keras_attention.layers.hard_attention import HardHead
    from keras_attention.layers.heads import DenseHead, Head, PointerHead, TiedHead
    from keras_attention.layers.local import LocalMonotonic, LocalPredictive
    from keras_attention.layers.location import CoverageScore, LocationScore
    from keras_attention.layers.masking import (
        lengths_mask,
        masked_softmax,
        padding_mask,
        sequence_lengths,
    )
    from keras_attention.layers.model_encoder import ModelEncoder
    from keras_attention.layers.monotonic import Chunkwise, Monotonic
    from keras_attention.layers.multi_head import HeadProjections
    from keras_attention.layers.normalizers import Entmax15, Normalizer, Softmax, Sparsemax
    from keras_attention.layers.scores import (
        AdditiveScore,
        ConcatScore,
        DotScore,
        GeneralScore,
        ScaledDotScore,
        Score,
    )
    from keras_attention.layers.states import Attended, DecoderState, DecoderStep, Encoded, History
    from keras_attention.layers.vector_encoder import VectorEncoder
    from keras_attention.models.seq2seq import Seq2Seq
    from keras_attention.sources import SourceSpec
    from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID, pad, shift_right
    from keras_attention.training.attention_losses import AlignmentLoss, CoverageLoss
    from keras_attention.training.muon import Muon
    from keras_attention.training.objectives import ExactMatch, Perplexity, TokenAccuracy, TokenCrossentropy
    from keras_attention.training.optimizers import Adam

    if keras.backend.backend() == "tensorflow":  # what works on texts needs TensorFlow
        from keras_attention.models.translator import Translator
        from keras_attention.text.datasets import SequencePairs
        from keras_attention.text.tokenizers import SentencePieceTokenizer
        from keras_attention.training.train import Options, train

        __all__ += ["Options", "SentencePieceTokenizer", "SequencePairs", "Translator", "train"]
