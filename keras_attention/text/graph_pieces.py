"""Texts to ids and back in a graph of TensorFlow, with TensorFlow Text."""

import functools
import itertools

import numpy as np
import tensorflow as tf

from keras_attention.quiet import quiet
from keras_attention.text.pieces import SentencePieces
from keras_attention.tokens import END_ID, PADDING_ID, before_end

FAST_KINDS = ("char", "unigram")  # for which FastSentencepiece, all that LiteRT has, is correct


class GraphPieces(SentencePieces):
    """A SentencePiece model whose methods on tensors add operators to the graph that calls them."""

    @functools.cached_property
    def operators(self):
        """TensorFlow Text's tokenizer, a `tf.Module`, for code that must track it (export)."""
        # Outside any graph that is being traced, because the operators serve all graphs. Quietly, because
        # SentencePiece reports at each start that a model has no rules for Unicode.
        with tf.init_scope(), quiet():
            return self._operators()

    def _operators(self):
        import tensorflow_text

        # FastSentencepiece runs in LiteRT too and breaks ties as the library does. But it always finds the
        # likeliest pieces, which is wrong for BPE, which merges in order, and for words, where an unknown
        # word is one piece (tensorflow-text 2.21).
        if self.kind in FAST_KINDS:
            return tensorflow_text.FastSentencepieceTokenizer(self.model)
        return tensorflow_text.SentencepieceTokenizer(model=self.model, out_type=tf.int32)

    def tokenize(self, texts) -> tf.Tensor:
        """(B,) string -> (B, S) int32: the pieces of each text, the end id, padding."""
        return self.ragged_ids(texts).to_tensor(PADDING_ID)

    def ragged_ids(self, texts) -> tf.RaggedTensor:
        """(B,) string -> ragged (B, None) int32: the pieces of each text and the end id."""
        return _with_ends(self._run("tokenize", texts))

    def tokenize_within(self, texts, most: int, refuses: bool) -> tf.Tensor:
        """`tokenize` to at most `most` ids; it refuses longer texts, or cuts them and says so."""
        pieces = self._run("tokenize", texts)
        ids = _with_ends(pieces[:, before_end(most)])
        too_long = tf.reduce_sum(tf.cast(pieces.row_lengths() >= most, tf.int32))
        limit = f"texts have more than {most} ids"
        if refuses:
            check = tf.debugging.Assert(tf.equal(too_long, 0), [too_long, limit])
        else:
            check = tf.cond(
                too_long > 0,
                lambda: tf.print("keras_attention:", too_long, limit + "; they were cut."),
                tf.no_op,
            )
        with tf.control_dependencies([check]):
            return ids.to_tensor(PADDING_ID)

    def detokenize(self, tokens) -> tf.Tensor:
        """(B, T) int32 ids, with or without end ids and padding -> (B,) string."""
        written = tf.ragged.boolean_mask(tokens, (tokens != PADDING_ID) & (tokens != END_ID))
        texts = tf.strings.strip(self._run("detokenize", written))
        if not self.unicode_form:
            return texts
        import tensorflow_text

        return tensorflow_text.normalize_utf8(texts, "NFC")

    def _run(self, method, argument):
        try:
            return getattr(self.operators, method)(argument)
        except tf.errors.NotFoundError:  # `keras.utils.set_random_seed` has cleared TensorFlow's resources
            del self.operators
            return getattr(self.operators, method)(argument)

    def ids_of(self, texts) -> list[np.ndarray]:
        if not len(texts):
            return []
        ids = self.ragged_ids(texts)  # the same ids as in the exported graph
        starts, values = ids.row_splits.numpy(), ids.flat_values.numpy()
        return [values[a:b] for a, b in itertools.pairwise(starts)]

    def texts_of(self, tokens) -> list[str]:
        return [text.decode("utf-8") for text in self.detokenize(tf.convert_to_tensor(tokens)).numpy()]


def _with_ends(pieces):
    return tf.concat([pieces, tf.fill([pieces.nrows(), 1], END_ID)], axis=1)
