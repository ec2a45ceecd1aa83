"""The recurrent layers of encoder and decoder: Keras' layers, with faster training on TensorFlow."""

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.layers.initializers import own


class _OwnGradient:
    """Trains a Keras LSTM or GRU with `recurrent_tensorflow`, wherever that computes the same.

    The weights, configuration and results are those of Keras. Only the loop over the steps differs, and
    only while training on TensorFlow without a GPU (with a GPU, Keras uses cuDNN). In every other case
    Keras' loop runs: inference, exports, other backends, masks, and options that are not Keras' defaults.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not training or mask is not None or not self._has_own_gradient():
            return super().inner_loop(sequences, initial_state, mask, training)
        # Imported late, because other backends do not need TensorFlow.
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


# Both keep Keras' class names, because Keras stores the weights of layers in a list under these names.
@keras.saving.register_keras_serializable("keras_attention")
class LSTM(_OwnGradient, keras.layers.LSTM):
    """`keras.layers.LSTM` with its own gradient while training on TensorFlow.

    See `recurrent_tensorflow.lstm` for the formulas. Arguments, weights and results are those of Keras.

    Reference: Hochreiter and Schmidhuber (1997).
    """

    _loop_name = "lstm"


@keras.saving.register_keras_serializable("keras_attention")
class GRU(_OwnGradient, keras.layers.GRU):
    """`keras.layers.GRU` with its own gradient while training on TensorFlow.

    See `recurrent_tensorflow.gru` for the formulas. Arguments, weights and results are those of Keras.

    Reference: Cho et al. (2014).
    """

    _loop_name = "gru"

    def _has_own_gradient(self) -> bool:
        return self.reset_after and super()._has_own_gradient()


RECURRENT_LAYERS = {"lstm": LSTM, "gru": GRU}


def check_cell(cell):
    """Returns `cell` if it is a known name or a template; raises otherwise.

    Raises:
        TypeError: neither a name nor a Keras RNN layer.
        ValueError: an unknown name.
    """
    if isinstance(cell, keras.layers.RNN):
        return cell
    if not isinstance(cell, str):
        raise TypeError(f"`cell` must be a name or a Keras RNN layer. Received: cell={cell!r}.")
    return check_choice("cell", cell, RECURRENT_LAYERS)


def recurrent_layer(cell, units: int, kernel_initializer, recurrent_initializer, **kwargs):
    """Makes a recurrent layer from a cell's name or a template. It returns its output at every step."""
    kwargs["return_sequences"] = True
    if isinstance(cell, str):
        initializers = own(kernel_initializer), own(recurrent_initializer)
        return RECURRENT_LAYERS[cell](
            units, kernel_initializer=initializers[0], recurrent_initializer=initializers[1], **kwargs
        )
    config = {**_unshared(cell.get_config()), **kwargs}
    del config["name"]
    of_cell = config["cell"]["config"] if "cell" in config else config
    if "units" not in of_cell:
        raise ValueError(
            "The configuration of a template's cell must contain `units`, because each layer sets its own. "
            f"Received: {type(cell).__name__} with {sorted(of_cell)}."
        )
    if config.get("go_backwards") or config.get("stateful"):
        raise ValueError("A template must have neither `go_backwards` nor `stateful`.")
    of_cell["units"] = units
    faster = {keras.layers.LSTM: LSTM, keras.layers.GRU: GRU}
    return faster.get(type(cell), type(cell)).from_config(config)


def _unshared(config):
    """A configuration without `shared_object_id`, by which Keras would load several objects as one."""
    if isinstance(config, dict):
        return {key: _unshared(value) for key, value in config.items() if key != "shared_object_id"}
    return config
