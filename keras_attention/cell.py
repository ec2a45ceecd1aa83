"""AttentionDecoderCell: one step of the decoder, and the same for all steps at once."""

import keras
from keras import ops

from keras_attention.checks import check_size
from keras_attention.context import AttentionContext
from keras_attention.recurrent import check_cell, recurrent_layer
from keras_attention.scores import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
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

    Call arguments:
        inputs: (B, E), the embedding of the previous token.
        states: list of (B, units): h (and c, for an LSTM) of each layer; with input feeding the
            previous vector last. `zero_states` makes the first.
        memory: (B, S, D), the encoder's states.
        keys: (B, S, attention_units), `attention.project_memory(memory)`; None computes them.
        memory_mask: (B, S) boolean, True = real token; None means that all are.
        noise: list of (B, units), what multiplies the input of each layer after the first (dropout that
            `unroll` has drawn); None changes nothing.

    Returns:
        `(vector, states, weights)`: the attentional vector (B, units), or (B, units + D) without the
        attentional layer; the new states; the attention weights (B, S).

    Raises:
        ValueError: an unknown cell or score, a size below 1.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units = check_size("units", units)
        self.cell = check_cell(cell)
        self.num_layers = num_layers = check_size("num_layers", num_layers)
        self.attention_units = attention_units
        self.input_feeding = input_feeding
        self.attentional_layer = attentional_layer
        self.dropout = dropout
        self.recurrent_layers = [
            recurrent_layer(cell, units, return_state=True, dtype=self.dtype_policy)
            for _ in range(num_layers)
        ]
        self.attention = AttentionContext(attention_units, score, dtype=self.dtype_policy)
        self.score = self.attention.score
        self.combine = (
            keras.layers.Dense(units, activation="tanh", use_bias=False, dtype=self.dtype_policy)
            if attentional_layer
            else None
        )
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, inputs_shape, states_shape, memory_shape):
        batch, depth = inputs_shape[0], inputs_shape[-1]
        if self.input_feeding:
            depth += self.vector_depth(memory_shape[-1])
        for layer in self.recurrent_layers:
            layer.build((batch, None, depth))
            depth = self.units
        self.attention.build((batch, None, self.units), memory_shape)
        if self.combine:
            self.combine.build((batch, self.units + memory_shape[-1]))

    def call(self, inputs, states, memory, keys=None, memory_mask=None, noise=None):
        # Idea 2: the RNN takes the previous token's embedding and its previous state, and yields h.
        states, feed = self._split(states)
        h, new_states = inputs if feed is None else ops.concatenate([inputs, feed], axis=-1), []
        for depth, layer in enumerate(self.recurrent_layers):
            read = h if noise is None or depth == 0 else h * noise[depth - 1]
            output, layer_states = layer.cell(read, states[depth])
            h = h + output if depth else output
            new_states.extend(layer_states)
        vector, weights = self._attend(h, memory, keys, memory_mask)
        return vector, new_states + [vector] * self.input_feeding, weights

    def unroll(self, inputs, states, memory, memory_mask=None):
        """All steps at once under teacher forcing; the same numbers as `call` step by step.

        Args:
            inputs: (B, T, E), embeddings of the tokens that are fed.
            states, memory, memory_mask: as in a call.

        Returns:
            `(vectors, states, weights)`: (B, T, units), the states after the last step, (B, T, S).
        """
        keys = self.attention.project_memory(memory)
        inputs = self.dropout_layer(inputs)
        unroll = self._unroll_feeding if self.input_feeding else self._unroll_parallel
        vectors, states, weights = unroll(inputs, states, memory, keys, memory_mask)
        return self.dropout_layer(vectors), states, weights

    def _unroll_parallel(self, inputs, states, memory, keys, memory_mask):
        """The recurrence does not read the attention: run it whole, then all attention as one matmul."""
        states, _ = self._split(states)
        h, new_states = inputs, []
        for depth, layer in enumerate(self.recurrent_layers):
            read = self.dropout_layer(h) if depth else h
            output, *layer_states = layer(read, initial_state=states[depth])
            h = h + output if depth else output
            new_states.extend(layer_states)
        vectors, weights = self._attend(h, memory, keys, memory_mask)
        return vectors, new_states, weights

    def _unroll_feeding(self, inputs, states, memory, keys, memory_mask):
        """The recurrence reads the attention: step by step, in a loop of Keras' own."""
        batch, steps, depth = *ops.shape(inputs)[:2], inputs.shape[-1]
        # Dropout is drawn for all steps here, since a random generator may not advance within the loop.
        ones = ops.ones((batch, steps, self.units), dtype=self.compute_dtype)
        noise = [self.dropout_layer(ones) for _ in self.recurrent_layers[1:]]
        vector_depth = self.vector_depth(memory.shape[-1])

        def step(features, states):
            step_noise = [
                features[:, start : start + self.units]
                for start in range(depth, features.shape[-1], self.units)
            ]
            vector, states, weights = self(
                features[:, :depth], list(states), memory, keys, memory_mask=memory_mask, noise=step_noise
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

    def _attend(self, h, memory, keys, memory_mask):
        """(B, U) or (B, T, U) h -> the attentional vector [h; C], through its layer, and the weights."""
        # Idea 4: [h; C] go through a feed-forward layer; the head makes a token of its vector.
        context, weights = self.attention(h, memory, keys=keys, memory_mask=memory_mask)
        vector = ops.concatenate([h, context], axis=-1)
        return (self.combine(vector) if self.combine else vector), weights

    def _split(self, states):
        """The flat list of states -> one list per layer, and the vector that is fed back (or None)."""
        count = len(states) - self.input_feeding
        width = count // self.num_layers
        layers = [list(states[i : i + width]) for i in range(0, count, width)]
        return layers, states[-1] if self.input_feeding else None

    def zero_states(self, memory):
        """The list of states for a first step that starts from nothing, one row for each of `memory`'s."""
        depths = [self.units] * self.num_states
        if self.input_feeding:
            depths.append(self.vector_depth(memory.shape[-1]))
        zero = ops.cast(ops.zeros_like(memory[:, 0, :1]), self.compute_dtype)  # (B, 1)
        return [ops.tile(zero, (1, depth)) for depth in depths]

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
        }


class _StepFunction:
    """What `keras.layers.RNN` asks of a cell. Being no layer it may close over the memory, which a Keras
    cell has no other road to since `RNN` takes no constants. (`keras.ops.scan` would do too, but on
    TensorFlow its loop has no bound, and XLA then refuses its gradient: Keras 3.15.)
    """

    def __init__(self, step, state_size, compute_dtype):
        self.call = step
        self.state_size = state_size
        self.compute_dtype = compute_dtype

    def __call__(self, inputs, states):
        return self.call(inputs, states)
