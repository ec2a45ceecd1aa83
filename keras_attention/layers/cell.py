"""AttentionDecoderCell: one step of the decoder, and the same for all steps at once."""

import keras
from keras import ops

from keras_attention.checks import check_flag, check_rate, check_size
from keras_attention.layers.context import AttentionContext
from keras_attention.layers.recurrent import check_cell, recurrent_layer


@keras.saving.register_keras_serializable("keras_attention")
class AttentionDecoderCell(keras.layers.Layer):
    """One step of the decoder: from the previous token and the states to the attentional vector.

    `h = RNN(input, states)`, `C, weights = attention(h, memory)`, `vector = tanh(W [h; C])`.
    With input feeding the RNN reads `[input; previous vector]`.

    Args:
        units: depth of the states and of the attentional vector.
        cell: `"lstm"` or `"gru"`.
        num_layers: how many recurrent layers, residual from the second on.
        score: name of the attention's score, or a `Score` layer.
        attention_units: depth of the projected memory; None follows `units`.
        input_feeding: whether the previous attentional vector is a part of the RNN's input.
        attentional_layer: whether `[h; C]` goes through the tanh layer; without it the vector is
            `[h; C]` itself, for a Dense head straight to the vocabulary.
        dropout: rate of dropout on what each recurrent layer reads and on the attentional vector.
        kernel_initializer, recurrent_initializer: of the recurrent layers, with Keras' defaults.

    Call arguments:
        inputs: (B, E), the embedding of the previous token; or (B, K, E), of K hypotheses of each source,
            which share its memory. Then all that follows but the memory has the axis K too.
        states: list of (B, units): h (and c, for an LSTM) of each layer; with input feeding the
            previous vector last. `zero_states` makes the first.
        memory: (B, S, D), the encoder's states.
        keys: (B, S, attention_units), `attention.project_memory(memory)`; None computes them.
        memory_mask: (B, S) boolean, True = real token; None means that all are.

    Returns:
        `(vector, states, weights)`: the attentional vector (B, units), or (B, units + D) without the
        attentional layer; the new states; the attention weights (B, S).

    Padding of the memory gets no weight. Dropout acts while training.

    Raises:
        TypeError: a size that is no integer.
        ValueError: an unknown cell or score, a size below 1, another number of states.

    Example:
        cell = keras_attention.AttentionDecoderCell(units=32)
        states = cell.zero_states(memory)
        vector, states, weights = cell(embedded, states, memory, memory_mask=memory_mask)

    Reference: Luong et al. (2015), sections 3 and 3.3 (input feeding); Alammar (2018).
    """

    def __init__(
        self,
        units,
        cell="lstm",
        num_layers=1,
        score="general",
        attention_units=None,
        input_feeding=False,
        attentional_layer=True,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.units = units = check_size("units", units)
        self.cell = check_cell(cell)
        self.num_layers = num_layers = check_size("num_layers", num_layers)
        self.attention_units = (
            None if attention_units is None else check_size("attention_units", attention_units)
        )
        self.input_feeding = check_flag("input_feeding", input_feeding)
        self.attentional_layer = check_flag("attentional_layer", attentional_layer)
        self.dropout = check_rate("dropout", dropout)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        initializers = {
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }
        self.recurrent_layers = [
            recurrent_layer(cell, units, return_state=True, **initializers, **shared)
            for _ in range(num_layers)
        ]
        self.attention = AttentionContext(attention_units, score, **shared)
        self.combine = (
            keras.layers.Dense(units, activation="tanh", use_bias=False, **shared, name="combine")
            if attentional_layer
            else None
        )
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)

    def build(self, inputs_shape, states_shape, memory_shape):
        size = inputs_shape[-1]
        if self.input_feeding:
            size += self.vector_depth(memory_shape[-1])
        for layer in self.recurrent_layers:
            layer.build((inputs_shape[0], None, size))
            size = self.units
        self.attention.build((inputs_shape[0], None, self.units), memory_shape)
        if self.combine:
            self.combine.build((inputs_shape[0], self.units + memory_shape[-1]))

    def call(self, inputs, states, memory, keys=None, memory_mask=None):
        inputs = self.dropout_layer(inputs)
        vector, states, weights = self._step(inputs, states, memory, keys, memory_mask, self._drop)
        return self.dropout_layer(vector), states, weights

    def unroll(self, inputs, states, memory, memory_mask=None):
        """All steps at once under teacher forcing; the same numbers as `call` step by step.

        Args:
            inputs: (B, T, E), embeddings of the tokens that are fed; a tensor, no `KerasTensor`.
            states, memory, memory_mask: as in a call.

        Returns:
            `(vectors, states, weights)`: (B, T, units), the states after the last step, (B, T, S).
        """
        keys = self.attention.project_memory(memory)
        inputs = self.dropout_layer(inputs)
        unroll = self._unroll_feeding if self.input_feeding else self._unroll_parallel
        vectors, states, weights = unroll(inputs, states, memory, keys, memory_mask)
        return self.dropout_layer(vectors), states, weights

    def _step(self, inputs, states, memory, keys, memory_mask, drop):
        # Idea 2: the RNN takes the previous token's embedding and its previous state, and yields h.
        below = ops.concatenate([inputs, states[-1]], axis=-1) if self.input_feeding else inputs
        h, new_states = self._recur(_run_cell, below, states, drop)
        vector, weights = self._attend(h, memory, keys, memory_mask)
        if self.input_feeding:
            new_states.append(vector)
        return vector, new_states, weights

    def _unroll_parallel(self, inputs, states, memory, keys, memory_mask):
        """Ideas 2 to 4: the recurrence does not read the attention, so it runs whole, then one matmul."""

        def run(layer, inputs, states):
            outputs, *states = layer(inputs, initial_state=states)
            return outputs, states

        h, states = self._recur(run, inputs, states, self._drop)
        vectors, weights = self._attend(h, memory, keys, memory_mask)
        return vectors, states, weights

    def _unroll_feeding(self, inputs, states, memory, keys, memory_mask):
        """Ideas 2 to 4: the recurrence reads the attention, so it goes step by step."""
        batch, steps, size = *ops.shape(inputs)[:2], inputs.shape[-1]
        # Dropout is drawn for all steps here, since a random generator may not advance within the loop.
        ones = ops.ones((batch, steps, self.units), dtype=self.compute_dtype)
        noise = [self.dropout_layer(ones) for _ in self.recurrent_layers[1:]]
        vector_depth = self.vector_depth(memory.shape[-1])

        def step(features, states):
            def drop(i, below):
                start = size + (i - 1) * self.units
                return below * features[:, start : start + self.units]

            vector, states, weights = self._step(
                features[:, :size], list(states), memory, keys, memory_mask, drop
            )
            return ops.concatenate([vector, weights], axis=-1), states

        loop = keras.layers.RNN(
            _StepFunction(step, [state.shape[-1] for state in states], self.compute_dtype),
            return_sequences=True,
            return_state=True,
            dtype=self.dtype_policy,
        )
        outputs, *states = loop(ops.concatenate([inputs, *noise], axis=-1), initial_state=states)
        return outputs[:, :, :vector_depth], states, outputs[:, :, vector_depth:]

    def _recur(self, run, below, states, drop):
        """The recurrent layers, each upon the one below, residual from the second on: h, new states.

        `run(layer, inputs, states)` is a layer's step, or all its steps; `drop(i, below)` what layer i > 0
        reads of the one below.
        """
        expected = self.num_states + self.input_feeding
        if len(states) != expected:
            raise ValueError(
                f"`states` must hold {expected} tensors, as `zero_states` gives them. "
                f"Received: {len(states)}."
            )
        width = self.num_states // self.num_layers
        new_states = []
        for i, layer in enumerate(self.recurrent_layers):
            read = drop(i, below) if i else below
            output, layer_states = run(layer, read, list(states[i * width : (i + 1) * width]))
            below = below + output if i else output
            new_states.extend(layer_states)
        return below, new_states

    def _drop(self, i, below):
        return self.dropout_layer(below)

    def _attend(self, h, memory, keys, memory_mask):
        """(B, U) or (B, T, U) h -> the attentional vector, and the weights."""
        context, weights = self.attention(h, memory, keys=keys, memory_mask=memory_mask)
        # Idea 4: [h; C] go through a feed-forward layer; the decoder's head makes a token of its vector.
        vector = ops.concatenate([h, context], axis=-1)
        return (self.combine(vector) if self.combine else vector), weights

    def zero_states(self, memory):
        """The list of states for a first step that starts from nothing, one row for each of `memory`'s."""
        depths = [self.units] * self.num_states
        if self.input_feeding:
            depths.append(self.vector_depth(memory.shape[-1]))
        # Of the memory rather than of its shape, which a KerasTensor may not know: (B, 1).
        zero = ops.cast(ops.zeros_like(memory[:, 0, :1]), self.compute_dtype)
        # Not `ops.tile`, of whose result Keras 3.12 (Python 3.10) does not know the depth.
        return [zero + ops.zeros((1, depth), dtype=self.compute_dtype) for depth in depths]

    @property
    def score(self):
        """The attention's `Score` layer."""
        return self.attention.score

    @property
    def num_states(self):
        """How many states the recurrent layers carry; the fed back vector is not one of them."""
        return self.num_layers * (2 if self.cell == "lstm" else 1)

    def vector_depth(self, memory_depth):
        """The depth of the attentional vector over a memory of that depth."""
        return self.units if self.attentional_layer else self.units + memory_depth

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "cell": self.cell,
            "num_layers": self.num_layers,
            "score": keras.saving.serialize_keras_object(self.score),
            "attention_units": self.attention_units,
            "input_feeding": self.input_feeding,
            "attentional_layer": self.attentional_layer,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }


def _run_cell(layer, inputs, states):
    """One step of a recurrent layer; Keras' cells know no axis of hypotheses."""
    if len(inputs.shape) == 2:
        return layer.cell(inputs, states)
    output, states = layer.cell(_fold(inputs), [_fold(state) for state in states])
    unfolded = (-1, inputs.shape[1], layer.units)
    return ops.reshape(output, unfolded), [ops.reshape(state, unfolded) for state in states]


def _fold(x):
    """(B, K, D) -> (B * K, D)"""
    return ops.reshape(x, (-1, x.shape[-1]))


class _StepFunction:
    """What `keras.layers.RNN` asks of a cell: `call`, `state_size` and `compute_dtype` (Keras 3.15).

    Being no layer it may close over the memory, which a Keras cell has no other road to since `RNN` takes
    no constants. `keras.ops.scan` would do too, but on TensorFlow its loop has no bound, and XLA then
    refuses its gradient.
    """

    def __init__(self, step, state_size, compute_dtype):
        self.call = step
        self.state_size = state_size
        self.compute_dtype = compute_dtype

    def __call__(self, inputs, states):
        return self.call(inputs, states)
