"""Training on several devices with `tf.distribute.MirroredStrategy`: what Keras leaves to us.

Each device has a *replica* of the model. A replica gets some rows of each batch, perhaps none, and
TensorFlow adds up the gradients of all replicas.
"""

import keras
from keras import ops


def variables_of_replicas(variable) -> tuple:
    """What an optimizer's update may get for a Keras variable: one variable for each replica."""
    if keras.backend.backend() != "tensorflow":
        return (variable,)
    strategy = getattr(variable.value, "distribute_strategy", None)  # only mirrored variables have one
    return strategy.experimental_local_results(variable.value) if strategy else (variable.value,)


def sums_over_replicas(gradients) -> list:
    """The sum of each gradient over the replicas; each replica gets it."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    sums = iter(context.all_reduce("sum", [gradient for gradient in gradients if gradient is not None]))
    return [gradient if gradient is None else next(sums) for gradient in gradients]


def of_one_replica(gradient):
    """Keras (3.15) adds up the gradients of the replicas after it has clipped them: N times the same."""
    if keras.backend.backend() != "tensorflow":
        return gradient
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return gradient if replicas == 1 else gradient / replicas


def mean_over_replicas(loss, weights, reduction):
    """The mean over the whole batch, from what Keras makes of it in one replica.

    Keras (3.15) takes the mean over the rows of a replica and divides it by the number of replicas. If the
    replicas have different numbers of real tokens, the sum of these is not the mean over the batch. With
    `S` the weighted sum of the losses and `W` the sum of the weights, both over the whole batch, the result
    has the value `S / W / N` on each of the N replicas, which Keras multiplies by N before it reports it,
    and the gradient of this replica's part of `S / W`.

    Args:
        loss: a scalar, the weighted mean over the rows of this replica, divided by N.
        weights: the weights of these rows, of any shape.
        reduction: of the loss; only `"mean_with_sample_weight"` is changed.
    """
    if reduction != "mean_with_sample_weight" or keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:  # None: Keras only asks for shapes
        return loss
    replicas, weight = context.num_replicas_in_sync, ops.sum(weights)
    part = loss * replicas * weight
    total, total_weight = context.all_reduce("sum", [ops.stop_gradient(part), weight])
    mean = ops.divide_no_nan(total, total_weight) / replicas
    return mean + ops.divide_no_nan(part - ops.stop_gradient(part), total_weight)
