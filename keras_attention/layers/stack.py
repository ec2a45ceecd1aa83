"""RecurrentStack: the recurrent layers of the encoder and of the decoder."""

import contextlib

import keras
from keras import ops

from keras_attention.checks import check_flag, check_rate, check_size
from keras_attention.choices import MAX_LAYERS
from keras_attention.layers.configured import Configured
from keras_attention.layers.masking import reverse_prefix, step_at
from keras_attention.layers.recurrent import check_cell, recurrent_layer

FIRST = "first"


@keras.saving.register_keras_serializable("keras_attention")
class RecurrentStack(Configured, keras.layers.Layer):
    """A stack of recurrent layers. Each layer but the first has a residual connection.

    `x[0] = RNN(inputs)`, `x[i] = x[i - 1] + RNN(dropout(x[i - 1]))`.

    Args:
        units: U, depth of the outputs; with two directions, each has half of it.
        cell: `"lstm"`, `"gru"`, or a Keras RNN layer used as a template: each layer is made from its
            configuration, with `units` and `dtype` replaced. So `keras.layers.LSTM(1,
            recurrent_dropout=0.2)` gives all layers recurrent dropout, and `keras.layers.RNN(MyCell(1))`
            gives them a cell of your own. Its first state must be its output, and all its states must be
            as deep as the output.
        num_layers: number of recurrent layers, at most 100.
        bidirectional: whether each layer reads in both directions, or `"first"` for the first layer only.
            A bidirectional stack can only `read`.
        dropout: rate of dropout on the input of each layer but the first while training.
        kernel_initializer, recurrent_initializer: initializers of the recurrent layers; the defaults are
            those of Keras. A template has its own.

    Raises:
        TypeError, ValueError: an argument out of its range, or odd `units` for two directions.

    Reference: Wu et al. (2016), sections 3.1 (residual connections) and 3.2 (a bidirectional first layer).
    """

    def __init__(
        self,
        units,
        cell="lstm",
        num_layers=1,
        bidirectional=False,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = check_size("units", units)
        self.cell = check_cell(cell)
        self.num_layers = check_size("num_layers", num_layers, most=MAX_LAYERS)
        self.bidirectional = (
            bidirectional if bidirectional == FIRST else check_flag("bidirectional", bidirectional)
        )
        self.dropout = check_rate("dropout", dropout)
        if bidirectional and units % 2:
            raise ValueError(
                "`units` must be even for a bidirectional layer: each direction has half of them. "
                f"Received: units={units}."
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)

        def layer(units):
            initializers = self.kernel_initializer, self.recurrent_initializer
            return recurrent_layer(cell, units, *initializers, return_state=True, **shared)

        both = {True: num_layers, False: 0, FIRST: 1}[self.bidirectional]
        self.forward_layers = [layer(units // 2 if i < both else units) for i in range(num_layers)]
        self.backward_layers = [layer(units // 2) for _ in range(both)]

    def build(self, inputs_shape):
        for layers in (self.forward_layers, self.backward_layers):
            for i, layer in enumerate(layers):
                layer.build((None, None, self.units if i else inputs_shape[-1]))

    def read(self, inputs, lengths):
        """(B, S, E) whole sequences, (B,) int32 lengths -> (B, S, U), and the last layer's final h (B, U).

        The final h is the forward state at the last real step, concatenated with the backward state at the
        first if there is one; zeros for an empty row. No mask is needed: the forward layers read padding
        only after all real steps.
        """
        last = []

        def read_layer(i, below):
            outputs = self.forward_layers[i](below)[0]
            if i < len(self.backward_layers):
                backward = self.backward_layers[i](reverse_prefix(below, lengths))[0]
                outputs = ops.concatenate([outputs, reverse_prefix(backward, lengths)], axis=-1)
            last[:] = [outputs]
            return outputs

        return self._climb(inputs, read_layer, self.drop), self._final(*last, lengths)

    def _final(self, outputs, lengths):
        final = step_at(outputs, ops.maximum(lengths - 1, 0))
        if len(self.backward_layers) == self.num_layers:
            half = self.units // 2
            final = ops.concatenate([final[:, :half], outputs[:, 0, half:]], axis=-1)
        return ops.where(ops.expand_dims(lengths > 0, 1), final, ops.zeros_like(final))

    def unroll(self, inputs, state):
        """(B, T, E) and the states before the first step -> (B, T, U) and the states after the last."""
        return self._carry(inputs, state, _unroll, self.drop)

    def step(self, inputs, state, drop=None):
        """One step: (B, E), or (B, K, E) for K hypotheses -> h (B, U) or (B, K, U), and the new states.

        `drop(i, below)` computes the input of layer i > 0 from the output of the layer below; by default it
        applies dropout.
        """
        return self._carry(inputs, state, _step, drop or self.drop)

    @contextlib.contextmanager
    def masks_for_all_steps(self, batch):
        """Draws the dropout masks of the cells before a loop of `step`, which must not draw any itself."""
        cells = [layer.cell for layer in self.forward_layers if hasattr(layer.cell, "get_dropout_mask")]
        for cell in cells:
            cell.get_dropout_mask(ops.ones((batch, cell.kernel.shape[0]), self.compute_dtype))
            cell.get_recurrent_dropout_mask(ops.ones((batch, self.units), self.compute_dtype))
        try:
            yield
        finally:
            for cell in cells:
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()

    def drop(self, i, below):
        return self.dropout_layer(below)

    def _carry(self, inputs, state, run, drop):
        new = []

        def run_layer(i, below):
            outputs, layer_state = run(self.forward_layers[i], below, list(state[i]))
            new.append(tuple(layer_state))
            return outputs

        return self._climb(inputs, run_layer, drop), tuple(new)

    def _climb(self, below, run_layer, drop):
        below = run_layer(0, below)
        for i in range(1, self.num_layers):
            below = below + run_layer(i, drop(i, below))
        return below

    def h(self, state):
        """The h that `step` returned with this state: a sum over the layers, because they are residual."""
        return sum(layer[0] for layer in state)

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        return [*self.forward_layers, *self.backward_layers]

    @property
    def states_per_layer(self):
        """The number of tensors in each layer's state: h and c, or only h."""
        return len(keras.tree.flatten(self.forward_layers[0].cell.state_size))


def _unroll(layer, inputs, state):
    """All steps of a recurrent layer."""
    outputs, *state = layer(inputs, initial_state=state)
    return outputs, state


def _step(layer, inputs, state):
    """One step of a recurrent layer. Keras' cells do not support an axis of hypotheses."""
    if len(inputs.shape) == 2:
        output, state = layer.cell(inputs, state)
        return output, state if isinstance(state, list | tuple) else [state]
    output, state = layer.cell(_fold(inputs), [_fold(x) for x in state])
    state = state if isinstance(state, list | tuple) else [state]
    unfolded = (-1, inputs.shape[1], layer.cell.units)
    return ops.reshape(output, unfolded), [ops.reshape(x, unfolded) for x in state]


def _fold(x):
    """(B, K, D) -> (B * K, D)"""
    return ops.reshape(x, (-1, x.shape[-1]))
