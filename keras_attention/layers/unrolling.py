"""All steps of the decoder at once, under teacher forcing."""

import contextlib

import keras
from keras import ops

from keras_attention.layers.loop import over_time
from keras_attention.layers.states import DecoderStep


class Unrolls:
    """The `unroll` of an `AttentionDecoderCell`."""

    def unroll(self, inputs, state, encoded, training=None):
        """All steps under teacher forcing; gives the same numbers as `call` step by step.

        Args:
            inputs: (B, T, E), embeddings of the tokens that are fed; tensors, not a `KerasTensor`.
            state, encoded: as in `call`.
            training: False if no step will need a mask of recurrent dropout, as `AttentionDecoder` knows.

        Returns:
            `(DecoderStep, DecoderState)`: the results, with an axis T after the batch, and the last state.
        """
        inputs = self.dropout_layer(inputs)
        if self.is_sequential:
            found, state = self._unroll_in_turn(inputs, state, encoded, training is not False)
        else:
            found, state = self._unroll_at_once(inputs, state, encoded)
        return found._replace(vector=self.dropout_layer(found.vector)), state

    @property
    def is_sequential(self):
        """Whether a step reads the results of the attention in the step before it."""
        reads_context = self.input_feeding or self.attend_first or self.attend_between
        return reads_context or self.attention.looks_back

    def _unroll_at_once(self, inputs, state, encoded):
        """Ideas 2 to 4: the recurrence runs over all steps, then one matmul attends for all of them.

        This works because the recurrence does not read the attention.
        """
        h, recurrent = self.stack.unroll(inputs, state.recurrent)
        noise = self.normalizer.draw((*ops.shape(inputs)[:2], ops.shape(encoded.memory)[1]))
        return self._combine(h, self._attend(h, encoded, (), noise)), state._replace(recurrent=recurrent)

    def _unroll_in_turn(self, inputs, state, encoded, draws_masks):
        """Ideas 2 to 4, step by step, because a step reads the attention of the step before it."""
        # Draw the random numbers for all steps here: a generator must not advance inside the loop.
        (batch, steps), length = ops.shape(inputs)[:2], ops.shape(encoded.memory)[1]
        ones = ops.ones((batch, steps, self.units), dtype=self.compute_dtype)
        dropped = [self.dropout_layer(ones) for _ in range(self.stack.num_layers - 1)]
        noise = self.normalizer.draw((batch, steps, length))

        def step(given, state):
            inputs, dropped, noise = given
            return self._step(inputs, state, encoded, noise, lambda i, below: below * dropped[i - 1])

        memory_depth = encoded.memory.shape[-1]
        depths = DecoderStep(
            vector=self.vector_depth(memory_depth),
            h=self.units,
            context=memory_depth,
            weights=length,
            scores=length,
        )
        with contextlib.ExitStack() as masks:
            for stack in filter(None, (self.stack, self.second) if draws_masks else ()):
                masks.enter_context(stack.masks_for_all_steps(batch))
            found, state = over_time(step, (inputs, dropped, noise), state, depths)
        return keras.tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), found), state
