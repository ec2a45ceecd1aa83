"""The public names that need Keras. Importing this registers the classes that saved files name."""

import keras

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
from keras_attention.layers.no_source import NoSource
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
from keras_attention.models.ensemble import Ensemble
from keras_attention.models.seq2seq import Seq2Seq
from keras_attention.models.translator import Translator
from keras_attention.text.datasets import SequencePairs
from keras_attention.text.rescoring import Rescored
from keras_attention.text.tokenizers import SentencePieceTokenizer
from keras_attention.training.attention_losses import AlignmentLoss, CoverageLoss
from keras_attention.training.distill import distill
from keras_attention.training.muon import Muon
from keras_attention.training.objectives import ExactMatch, Perplexity, TokenAccuracy, TokenCrossentropy
from keras_attention.training.optimizers import Adam
from keras_attention.training.train import Options, train
