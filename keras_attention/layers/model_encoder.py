"""ModelEncoder: uses a plain Keras model of sequences as an encoder."""

import keras
from keras import ops

from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import lengths_mask, padding_mask, sequence_lengths, step_at
from keras_attention.sources import ids_specs, vectors_specs


@keras.saving.register_keras_serializable("keras_attention")
class ModelEncoder(Configured, keras.layers.Layer):
    """An encoder made from a Keras model that maps a sequence to a sequence of the same length.

    `Seq2Seq` wraps a Keras model in this class if it is given one as its encoder. Keras passes the mask of
    the source from layer to layer, and recurrent layers skip padding. A convolution drops the mask with a
    warning, and the layers above it then read padding too. If your model has convolutions or changes the
    length, use a `VectorEncoder` with a front end, or write your own encoder (`keras_attention.sources`).

    Args:
        model: a `keras.Sequential` that starts with a `keras.Input`, or a functional `keras.Model`. It has
            one input: ids (S,), or vectors (S, F) of a fixed depth F, with S = None. Its output is the
            memory (S, D), or `[memory, final_state]`.

    Call arguments:
        source: (B, S) integer ids, padded on the right with 0; or a dict with `source`, (B, S, F), and
            `source_lengths`, (B,) integer.

    Returns:
        `(memory, final_state)`: memory (B, S, D), zeros on padding. If the model returns no final state,
        it is the last real step of the memory.

    Raises:
        TypeError: not a Keras model with known inputs.
        ValueError: the wrong number or rank of inputs or outputs, an output of another length, or an
            `Embedding` without `mask_zero`.

    Example:
        layer = keras.layers.LSTM(32, return_sequences=True)
        encoder = keras_attention.ModelEncoder(keras.Sequential([keras.Input((None, 8)), layer]))
    """

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(model, keras.Model) or len(getattr(model, "inputs", None) or ()) == 0:
            raise TypeError(
                "`model` must be a functional Keras model, or a Sequential that starts with a "
                f"`keras.Input`. Received: model={model!r}."
            )
        self.model = model
        model.supports_masking = True  # without it Keras (3.15) warns, but still passes the mask on
        given, found = model.inputs, model.outputs
        self.reads_ids = "int" in given[0].dtype
        ranks = [len(x.shape) for x in (*given, *found)]
        if ranks not in ([2, 3], [2, 3, 2], [3, 3], [3, 3, 2]) or self.reads_ids != (ranks[0] == 2):
            raise ValueError(
                "`model` must have one input: integer ids (B, S) or float vectors (B, S, F). Its output "
                "must be the memory (B, S, D), or [memory, final_state (B, D)]. Received: inputs "
                f"{[(x.shape, x.dtype) for x in given]}, outputs {[x.shape for x in found]}."
            )
        if not all(layer.mask_zero for layer in self._embeddings()):
            raise ValueError(
                "An Embedding in `model` must have mask_zero=True, so that padding is ignored."
            )
        length = given[0].shape[1] or 12
        outputs = keras.tree.flatten(
            model.compute_output_spec(keras.KerasTensor((1, length, *given[0].shape[2:]), given[0].dtype))
        )
        if outputs[0].shape[1] != length:
            raise ValueError(
                f"`model` must not change the length of its source. Received: a model that turns {length} "
                f"steps into {outputs[0].shape[1]}. Use a `VectorEncoder` with a front end."
            )

    def source_specs(self):
        """The inputs of a model with this encoder; see `keras_attention.sources`."""
        if not self.reads_ids:
            return vectors_specs(self.model.inputs[0].shape[-1])
        return ids_specs(next((layer.input_dim for layer in self._embeddings()), None))  # None: unchecked

    def _embeddings(self):
        return [layer for layer in _all_layers(self.model) if isinstance(layer, keras.layers.Embedding)]

    def call(self, source, training=None):
        mask = self.compute_mask(source)
        if self.reads_ids:  # an Embedding makes the mask
            found = self.model(source, training=training)
        else:
            found = self.model(source["source"], training=training, mask=mask)
        memory, *states = keras.tree.flatten(found)
        state = states[0] if states else step_at(memory, ops.maximum(sequence_lengths(mask) - 1, 0))
        return ops.where(ops.expand_dims(mask, 2), memory, ops.zeros_like(memory)), state

    def compute_mask(self, source, previous_mask=None):
        """The mask derived from the ids, or from the lengths."""
        if self.reads_ids:
            return padding_mask(source)
        return lengths_mask(source["source_lengths"], source["source"])

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return [layer for layer in _all_layers(self.model) if isinstance(layer, keras.layers.RNN)]


def _all_layers(layer):
    """A layer and all layers nested in it."""
    yield layer
    inner = getattr(layer, "layers", ())
    if isinstance(layer, keras.layers.Bidirectional):
        inner = (layer.forward_layer, layer.backward_layer)
    for below in inner:
        yield from _all_layers(below)


def as_encoder(encoder):
    """Returns an encoder unchanged and a Keras model as a `ModelEncoder`; else raises `TypeError`."""
    if isinstance(encoder, keras.layers.Layer) and hasattr(encoder, "source_specs"):
        return encoder
    if isinstance(encoder, keras.Model):
        return ModelEncoder(encoder)
    raise TypeError(
        "`encoder` must be a keras_attention.Encoder or VectorEncoder, a Keras model of sequences, or a "
        "layer that has `source_specs` and returns (memory, final_state), see `keras_attention.sources`. "
        f"Received: encoder={encoder!r} of type {type(encoder).__name__}."
    )
