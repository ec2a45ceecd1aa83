"""AttentionDecoderCell: one step of the decoder.

The class is longer than 160 lines, because its documentation and the names of its options take 80.
"""

import keras
from keras import ops

from keras_attention.checks import check_flag, check_optional_size, check_rate, check_size
from keras_attention.layers.configured import Configured
from keras_attention.layers.context import AttentionContext
from keras_attention.layers.stack import RecurrentStack
from keras_attention.layers.states import DecoderState, DecoderStep, Encoded, History, zeros_beside
from keras_attention.layers.unrolling import Unrolls


@keras.saving.register_keras_serializable("keras_attention")
class AttentionDecoderCell(Unrolls, Configured, keras.layers.Layer):
    """One step of the decoder: from the previous token and the state to the attentional vector.

    `h = RNN(input, state)`, `C, weights = attention(h, memory)`, `vector = tanh(W [h; C])`.
    With `input_feeding` the RNN reads `[input; previous vector]`. With `attend_first`,
    `C, weights = attention(previous h, memory)` and the RNN reads `[input; C]`.

    Args:
        units: depth of the states and of the attentional vector.
        cell: `"lstm"`, `"gru"`, or a Keras RNN layer used as a template; see `RecurrentStack`.
        num_layers: number of recurrent layers. Every layer but the first has a residual connection.
        score: name of the attention's score, or a `Score` layer.
        attention_units: depth of the projected memory; None takes `units`.
        input_feeding: whether the RNN also reads the previous attentional vector.
        attend_first: whether the attention comes before the recurrence, as in Bahdanau et al. (2014).
        attend_between: whether the attention comes between two transitions of the state (the conditional
            GRU or LSTM). The first transition reads the input, the second reads C. The second changes the
            state of the last layer.
        attentional_layer: whether `[h; C]` goes through the tanh layer. Without it the vector is `[h; C]`
            itself, and a Dense head maps it straight to the vocabulary.
        dropout: rate of dropout on the input, between recurrent layers, and on the attentional vector that
            is returned.
        normalizer, num_heads: see `AttentionContext`.
        kernel_initializer, recurrent_initializer: initializers of the recurrent layers; the defaults are
            those of Keras.

    Call arguments:
        inputs: (B, E), the embedding of the previous token; or (B, K, E) for K hypotheses of each source,
            which share its memory. Then `state` and everything returned also have the axis K.
        state: `DecoderState`; `zero_state` makes the first one.
        encoded: `Encoded(memory, memory_mask)`. The one that `encode` returns also holds the projected
            memory, which is then not computed again at every step.

    Returns:
        `(DecoderStep, DecoderState)`: the attentional vector, h, C and the attention weights of the step,
        and the state after it.

    Padding of the memory gets no weight. Dropout is active only while training.

    Raises:
        TypeError: a size that is not an integer.
        ValueError: an unknown cell or score, a size below 1, a state of another cell, or both
            `attend_first` and `attend_between`.

    Example:
        cell = keras_attention.AttentionDecoderCell(units=32)
        encoded = keras_attention.Encoded(memory, memory_mask)
        found, state = cell(embedded, cell.zero_state(encoded), encoded)

    Reference: Luong et al. (2015), sections 3 and 3.3 (input feeding); Alammar (2018); Sennrich et al.
    (2017), "Nematus", section 2 (`attend_between`).
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
        normalizer="softmax",
        num_heads=1,
        attend_first=False,
        attend_between=False,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # a history stays float32, and the inner layers cast
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.units = units = check_size("units", units)
        self.attention_units = check_optional_size("attention_units", attention_units)
        self.input_feeding = check_flag("input_feeding", input_feeding)
        self.attentional_layer = check_flag("attentional_layer", attentional_layer)
        self.attend_first = check_flag("attend_first", attend_first)
        self.attend_between = check_flag("attend_between", attend_between)
        if attend_first and attend_between:
            raise ValueError("`attend_first` and `attend_between` cannot both be True. Choose one.")
        self.dropout = check_rate("dropout", dropout)
        start = {"kernel_initializer": kernel_initializer, "recurrent_initializer": recurrent_initializer}
        self.stack = RecurrentStack(units, cell, num_layers, dropout=dropout, **start, **shared)
        self.second = RecurrentStack(units, cell, **start, **shared) if attend_between else None
        for name in ("cell", "num_layers", *start):
            setattr(self, name, getattr(self.stack, name))
        self.attention = AttentionContext(attention_units, score, normalizer, num_heads, **shared)
        self.num_heads = self.attention.num_heads
        self.combine = None
        if attentional_layer:
            self.combine = keras.layers.Dense(units, "tanh", use_bias=False, **shared, name="combine")
        self.dropout_layer = keras.layers.Dropout(dropout, **shared)

    def build(self, inputs_shape, state_shape, encoded_shape):
        memory_shape = encoded_shape[0]
        fed = self.vector_depth(memory_shape[-1]) if self.input_feeding else 0
        read = memory_shape[-1] if self.attend_first else 0
        self.stack.build((inputs_shape[0], None, inputs_shape[-1] + fed + read))
        self.attention.build((inputs_shape[0], None, self.units), memory_shape)
        if self.second:
            self.second.build((inputs_shape[0], None, memory_shape[-1]))
        if self.combine:
            self.combine.build((inputs_shape[0], self.units + memory_shape[-1]))

    def encode(self, memory, memory_mask=None, tokens=()):
        """Prepares a source for the steps.

        Args:
            memory: (B, S, D), the encoder's states; tensors, not a `KerasTensor`.
            memory_mask: (B, S) boolean, True = real token; None means that all are real. This is not a
                layer call, so it does not see a mask that Keras attached to the memory.
            tokens: (B, S) int32 source ids, for a head that copies.

        Returns:
            `Encoded`.
        """
        if memory_mask is None:
            memory_mask = ops.ones_like(memory[..., 0], dtype="bool")
        return Encoded(memory, memory_mask, self.attention.project_memory(memory), tokens)

    def zero_state(self, encoded):
        """The state before the first step, all zeros."""
        memory, memory_mask, *_ = encoded
        layer = (zeros_beside(memory, self.units, self.compute_dtype),) * self.stack.states_per_layer
        fed = ()
        if self.input_feeding:
            fed = zeros_beside(memory, self.vector_depth(memory.shape[-1]), self.compute_dtype)
        return DecoderState((layer,) * self.num_layers, fed, self.attention.first_history(memory_mask))

    def call(self, inputs, state, encoded):
        # A functional model passes plain lists after it was saved and loaded.
        state, encoded = _checked_state(self, DecoderState(*state)), Encoded(*encoded)
        found, state = self._step(self.dropout_layer(inputs), state, encoded, (), self.stack.drop)
        return found._replace(vector=self.dropout_layer(found.vector)), state

    def _step(self, inputs, state, encoded, noise, drop):
        # Idea 2: the RNN takes the embedding of the previous token and its previous state, and returns h.
        below = [inputs, state.fed] if self.input_feeding else [inputs]
        if self.attend_first:
            attended = self._attend(self.stack.h(state.recurrent), encoded, state.attention, noise)
            below.append(attended.context)
        h, recurrent = self.stack.step(ops.concatenate(below, axis=-1), state.recurrent, drop)
        if not self.attend_first:
            attended = self._attend(h, encoded, state.attention, noise)
        if self.second:
            _, last = self.second.step(attended.context, recurrent[-1:])
            recurrent = (*recurrent[:-1], *last)
            h = self.stack.h(recurrent)
        found = self._combine(h, attended)
        fed = found.vector if self.input_feeding else ()
        return found, state._replace(recurrent=recurrent, fed=fed, attention=attended.history)

    def _attend(self, h, encoded, history=(), noise=()):
        """(B, U) or (B, T, U) h -> `Attended`."""
        memory, mask, keys, _, given = encoded
        return self.attention.attend(h, memory, keys, mask, history, noise, given)

    def _combine(self, h, attended):
        # Idea 4: [h; C] goes through a feed-forward layer. The head turns its output into a token.
        vector = ops.concatenate([h, attended.context], axis=-1)
        return DecoderStep(self.combine(vector) if self.combine else vector, h, *attended[:3])

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that changes a setting of all of them (export, cuDNN)."""
        second = self.second.recurrent_layers if self.second else []
        return [*self.stack.recurrent_layers, *second]

    score = property(lambda self: self.attention.score, doc="The attention's `Score` layer.")
    normalizer = property(lambda self: self.attention.normalizer, doc="The attention's `Normalizer` layer.")

    def vector_depth(self, memory_depth):
        """The depth of the attentional vector for a memory of this depth."""
        return self.units if self.attentional_layer else self.units + memory_depth


def _checked_state(cell, state):
    """A state with a `History` if it has one; raises unless it belongs to the cell."""
    needed = {"fed": cell.input_feeding, "attention": cell.attention.looks_back}
    there = {name: bool(keras.tree.flatten(getattr(state, name))) for name in needed}
    wrong = [name for name in needed if there[name] != needed[name]]
    if len(state.recurrent) != cell.num_layers or any(
        len(layer) != cell.stack.states_per_layer for layer in state.recurrent
    ):
        wrong.append("recurrent")
    if wrong:
        raise ValueError(
            f"The state does not belong to this cell: {', '.join(wrong)} does not match. Start with "
            "`zero_state(encoded)`, then pass the state that the cell returned."
        )
    return state._replace(attention=History(*state.attention)) if state.attention else state
