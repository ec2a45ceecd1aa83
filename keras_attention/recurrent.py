"""The recurrent layers that the encoder and the decoder are built of: Keras' own."""

import keras

RECURRENT_LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def check_cell(cell: str) -> str:
    """Returns the name of a recurrent cell, or raises `ValueError` with the names that there are."""
    if not isinstance(cell, str) or cell not in RECURRENT_LAYERS:
        raise ValueError(f"`cell` must be one of {', '.join(RECURRENT_LAYERS)}. Received: cell={cell!r}.")
    return cell


def recurrent_layer(
    cell: str, units: int, kernel_initializer, recurrent_initializer, **kwargs
) -> keras.layers.RNN:
    """A Keras LSTM or GRU that returns its output at every step."""
    return RECURRENT_LAYERS[cell](
        units,
        return_sequences=True,
        # Clones, since a Keras initializer draws the same numbers whenever it is called.
        kernel_initializer=keras.initializers.get(kernel_initializer).clone(),
        recurrent_initializer=keras.initializers.get(recurrent_initializer).clone(),
        **kwargs,
    )
