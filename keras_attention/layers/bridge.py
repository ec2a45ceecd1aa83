"""The bridge: the first states of a decoder as learned functions of the encoder's final state."""

import keras


def bridge_layers(cell, **options) -> list[keras.layers.Dense]:
    """A Dense layer with tanh for each layer and state of an `AttentionDecoderCell`."""
    number = cell.num_layers * cell.stack.states_per_layer
    return [
        keras.layers.Dense(cell.units, activation="tanh", **options, name=f"bridge_{i}")
        for i in range(number)
    ]


def check_final_state(layers, shape) -> None:
    """Raises `ValueError` if there are layers, but the final state, and so its shape, is missing."""
    if layers and shape is None:
        raise ValueError(
            "The decoder's bridge computes the first states from the encoder's `final_state`, which is "
            "missing. Pass `final_state`, or use `bridge=False` to start from zeros."
        )


def bridged(layers, final_state, state):
    """The first `DecoderState`: `state`, with the outputs of the layers as its recurrent states."""
    if not layers:
        return state
    recurrent = [layer(final_state) for layer in layers]
    return state._replace(recurrent=keras.tree.pack_sequence_as(state.recurrent, recurrent))
