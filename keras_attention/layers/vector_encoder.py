"""VectorEncoder: turns vectors into the memory."""

import math

import keras
from keras import ops

from keras_attention.checks import check_rate, check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import lengths_mask
from keras_attention.layers.stack import RecurrentStack
from keras_attention.sources import check_source, vectors_specs


@keras.saving.register_keras_serializable("keras_attention")
class VectorEncoder(Configured, keras.layers.Layer):
    """Reads a sequence of vectors, such as audio frames or image columns, and returns the memory.

    It consists of a front end, then a pyramid, then recurrent layers as in `Encoder`. Each layer of the
    pyramid is recurrent and concatenates its states in pairs, which halves the length. The memory has
    `ceil(S / reduction)` steps.

    Args:
        features: F, depth of the source's vectors.
        units: depth of the memory; a bidirectional encoder gives each direction half of it.
        cell, num_layers, bidirectional, dropout, kernel_initializer, recurrent_initializer: see `Encoder`.
        pyramid: number of recurrent layers in the pyramid, below the other recurrent layers.
        front_end: Keras layers that come first. Each maps (B, S, ...) to (B, ceil(S / stride), ...), and
            the last one must return vectors, (B, S', D). A layer's stride is the first of its `strides`, or
            1. Padding is set to zero before the first layer and after each layer, and a BatchNormalization
            gets the mask, so padding has no effect. Only pooling layers may have a stride above 1, and it
            must equal their window. Other windows, and convolutions with strides, would start at other
            steps or see more padding in a longer batch.

    Call arguments:
        source: a dict with `source`, (B, S, F) float, padded on the right with any finite values, and
            `source_lengths`, (B,) integer, from 1 to S.

    Returns:
        `(memory, final_state)`: memory (B, S', units), zeros on padding, and final_state (B, units), as in
        `Encoder`. Keras attaches the mask of the S' steps to the memory.

    Raises:
        TypeError: vectors that are not floats, lengths that are not integers, or a front end that is not a
            list of layers.
        ValueError: a wrong F; NaN or infinite features, or lengths out of range (eager calls); a layer of
            the front end whose padding is not `"same"` or whose strides are not allowed.

    Example:
        encoder = keras_attention.VectorEncoder(features=8, units=32, pyramid=1)
        vectors = np.random.normal(size=(2, 5, 8))
        memory, final_state = encoder({"source": vectors, "source_lengths": np.array([5, 3])})

    Reference: Chan et al. (2016), section 3.1 (the pyramid).
    """

    def __init__(
        self,
        features,
        units,
        cell="lstm",
        num_layers=1,
        bidirectional=True,
        dropout=0.0,
        pyramid=0,
        front_end=(),
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.features = check_size("features", features)
        self.units = check_size("units", units)
        self.dropout = check_rate("dropout", dropout)
        self.pyramid = check_size("pyramid", pyramid, least=0)
        self.front_end = [_checked(layer) for layer in _as_layers(front_end)]
        initializers = {
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
        }
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)
        self.pyramid_stacks = [
            RecurrentStack(units, cell, 1, bool(bidirectional), dropout, **initializers, **shared)
            for _ in range(pyramid)
        ]
        self.stack = RecurrentStack(
            units, cell, num_layers, bidirectional, dropout, **initializers, **shared
        )
        for name in ("cell", "num_layers", "bidirectional", "kernel_initializer", "recurrent_initializer"):
            setattr(self, name, getattr(self.stack, name))

    @property
    def reduction(self):
        """The number of source steps that become one step of the memory."""
        return math.prod(map(_stride, self.front_end)) * 2**self.pyramid

    def source_specs(self):
        """The inputs of a model with this encoder; see `keras_attention.sources`."""
        return vectors_specs(self.features)

    def build(self, source_shape):
        shape, length = (None, None, self.features), 2 * self.reduction + 1
        for layer in self.front_end:
            if not layer.built:  # a saved layer comes back built
                layer.build(shape)
            found = layer.compute_output_shape((None, length, *shape[2:]))
            length = _divided(length, _stride(layer))
            if found[1] != length:
                raise ValueError(
                    "A layer of `front_end` must turn S steps into ceil(S / stride) steps. Received: "
                    f"{layer!r}, which returns {found[1]} steps instead of {length}."
                )
            shape = (None, None, *found[2:])
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                "The last layer of `front_end` must return vectors of a known depth, (B, S', D). "
                f"Received: the output shape {shape}. A `keras.layers.Reshape` ends most front ends."
            )
        for stack in self.pyramid_stacks:
            stack.build(shape)
            shape = (None, None, 2 * self.units)
        self.stack.build(shape)

    def call(self, source):
        check_source(self.source_specs(), source)
        lengths = ops.cast(source["source_lengths"], "int32")
        below = _without_padding(ops.cast(source["source"], self.compute_dtype), lengths)
        for layer in self.front_end:
            averages = isinstance(layer, keras.layers.BatchNormalization)  # over the steps, in training
            given = {"mask": _mask_of_depths(lengths, below)} if averages else {}
            below = layer(_in_whole(below, _stride(layer)), **given)
            lengths = _divided(lengths, _stride(layer))
            below = _without_padding(below, lengths)
        below = self.dropout_layer(below)
        for stack in self.pyramid_stacks:
            states, _ = stack.read(below, lengths)
            below = _in_pairs(_without_padding(states, lengths))
            lengths = _divided(lengths, 2)
        # Idea 1: all hidden states are passed on, not only the last.
        memory, final_state = self.stack.read(below, lengths)
        return _without_padding(memory, lengths), final_state

    def compute_mask(self, source, previous_mask=None):
        """The mask of the memory's steps, which Keras attaches to the memory."""
        lengths = _divided(ops.cast(source["source_lengths"], "int32"), self.reduction)
        return lengths_mask(lengths, source["source"][:, :: self.reduction]), None

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return [layer for stack in (*self.pyramid_stacks, self.stack) for layer in stack.recurrent_layers]

    def compute_output_shape(self, source_shape):
        batch, steps = source_shape["source"][:2]
        steps = None if steps is None else -(-steps // self.reduction)
        return (batch, steps, self.units), (batch, self.units)


def _mask_of_depths(lengths, sequence):
    """(B,) lengths of a (B, S, ..., D) sequence -> its mask (B, S, ...)."""
    mask = lengths_mask(lengths, sequence)
    for _ in sequence.shape[3:]:
        mask = ops.expand_dims(mask, -1)
    return ops.broadcast_to(mask, ops.shape(sequence)[:-1])


def _as_layers(front_end):
    if isinstance(front_end, keras.Layer):
        front_end = [front_end]
    for layer in front_end:
        if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model):
            raise TypeError(
                f"`front_end` must be a list of Keras layers, not of models. Received: {layer!r}."
            )
        yield layer


def _checked(layer):
    padding, stride = getattr(layer, "padding", "same"), _stride(layer)
    window = _first(getattr(layer, "pool_size", stride if stride == 1 else 0))
    if padding != "same" or window != stride:
        raise ValueError(
            "Layers of `front_end` must have padding='same'. Only a pooling layer may have a stride above "
            "1 along the sequence, and its window must be as long as its stride. "
            f"Received: {layer!r} with padding={padding!r}, strides={stride}. "
            "To shorten the sequence, add a pooling layer after the convolution."
        )
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        raise ValueError(
            "`front_end` must not contain recurrent layers, because they would read padding. "
            f"Received: {layer!r}. Use `num_layers` or `pyramid` instead."
        )
    if isinstance(layer, keras.layers.GroupNormalization):
        raise ValueError(
            "`front_end` must not contain a GroupNormalization, because its means would count padding. "
            f"Received: {layer!r}. Use a LayerNormalization or a BatchNormalization."
        )
    return layer


def _stride(layer) -> int:
    return _first(getattr(layer, "strides", 1))


def _first(sizes) -> int:
    return sizes[0] if isinstance(sizes, tuple | list) else sizes


def _divided(lengths, by):
    """Lengths divided by an integer, rounded up."""
    return (lengths + (by - 1)) // by if by > 1 else lengths


def _without_padding(sequence, lengths):
    """(B, S, ...) with zeros after the length of each row."""
    mask = lengths_mask(lengths, sequence)
    mask = ops.reshape(mask, (*ops.shape(mask), *[1] * (len(sequence.shape) - 2)))
    return ops.where(mask, sequence, ops.zeros_like(sequence))


def _in_pairs(states):
    """(B, S, D) -> (B, ceil(S / 2), 2 D); zeros complete the last pair if S is odd."""
    states = _in_whole(states, 2)
    return ops.reshape(states, (-1, ops.shape(states)[1] // 2, 2 * states.shape[-1]))


def _in_whole(sequence, windows):
    """(B, S, ...) padded with zeros to a multiple of the window length."""
    if windows == 1:
        return sequence
    missing = -ops.shape(sequence)[1] % windows
    return ops.pad(sequence, ((0, 0), (0, missing), *[(0, 0)] * (len(sequence.shape) - 2)))
