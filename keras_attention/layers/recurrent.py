"""The recurrent layers of the encoder and the decoder: Keras' own, which train faster on TensorFlow."""

import keras
from keras import ops

from keras_attention.layers.initializers import own


class _OwnGradient:
    """Lets a Keras LSTM or GRU train through `recurrent_tensorflow`, wherever that computes the same.

    The layer keeps Keras' weights, configuration and numbers. Only the loop over the steps differs, and
    only while training on TensorFlow without a GPU (there Keras uses cuDNN). In every other case Keras'
    loop runs: inference, exports, other backends, masks, and options that are not Keras' defaults.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not training or mask is not None or not self._has_own_gradient():
            return super().inner_loop(sequences, initial_state, mask, training)
        # Late, since other backends do without TensorFlow.
        import keras_attention.layers.recurrent_tensorflow as loops

        if loops.has_gpu():
            return super().inner_loop(sequences, initial_state, mask, training)
        cell = self.cell
        weights = [
            ops.cast(weight, self.compute_dtype)
            for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
        ]
        outputs, states = getattr(loops, self._loop_name)(sequences, initial_state, *weights)
        return states[0], outputs, states

    def _has_own_gradient(self) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and self.use_bias
            and not (self.dropout or self.recurrent_dropout)
            and not (self.unroll or self.stateful or self.go_backwards)
            and self.use_cudnn is not True
        )


# Both keep Keras' class names, under which Keras stores the weights of the layers of a list.
@keras.saving.register_keras_serializable("keras_attention")
class LSTM(_OwnGradient, keras.layers.LSTM):
    """`keras.layers.LSTM` with a gradient of its own while training on TensorFlow.

    See `recurrent_tensorflow.lstm` for the formulas. Arguments, weights and numbers are Keras'.

    Reference: Hochreiter and Schmidhuber (1997).
    """

    _loop_name = "lstm"


@keras.saving.register_keras_serializable("keras_attention")
class GRU(_OwnGradient, keras.layers.GRU):
    """`keras.layers.GRU` with a gradient of its own while training on TensorFlow.

    See `recurrent_tensorflow.gru` for the formulas. Arguments, weights and numbers are Keras'.

    Reference: Cho et al. (2014).
    """

    _loop_name = "gru"

    def _has_own_gradient(self) -> bool:
        return self.reset_after and super()._has_own_gradient()


RECURRENT_LAYERS = {"lstm": LSTM, "gru": GRU}


def check_cell(cell: str) -> str:
    """Returns the name of a recurrent cell, or raises `ValueError` with the names that there are."""
    if not isinstance(cell, str) or cell not in RECURRENT_LAYERS:
        raise ValueError(f"`cell` must be one of {', '.join(RECURRENT_LAYERS)}. Received: cell={cell!r}.")
    return cell


def recurrent_layer(
    cell: str, units: int, kernel_initializer, recurrent_initializer, **kwargs
) -> keras.layers.RNN:
    """An LSTM or GRU that returns its output at every step."""
    return RECURRENT_LAYERS[cell](
        units,
        return_sequences=True,
        kernel_initializer=own(kernel_initializer),
        recurrent_initializer=own(recurrent_initializer),
        **kwargs,
    )
