"""TensorBoard's logs of a training."""

import importlib.util

import keras


class LogsOfEpochs(keras.callbacks.TensorBoard):
    """TensorBoard's logs without the figures of each batch.

    Keras 3.15 does not write them either, but TensorFlow would store their numbers for each batch and never
    free them.
    """

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch)


def logs_in(folder, say) -> list[keras.callbacks.Callback]:
    """The callback that writes logs into a folder, if they can be written; otherwise says why not."""
    if keras.backend.backend() != "tensorflow":
        say("No TensorBoard logs: Keras writes them with TensorFlow.")
    elif importlib.util.find_spec("tensorboard"):
        return [LogsOfEpochs(folder, write_graph=False)]
    else:
        say("No TensorBoard logs: `pip install tensorboard` for them.")
    return []
