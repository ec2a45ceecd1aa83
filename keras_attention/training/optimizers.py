"""Adam with TensorFlow's fused update."""

import keras

from keras_attention.training.replicas import of_one_replica, sums_over_replicas, variables_of_replicas


@keras.saving.register_keras_serializable("keras_attention")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, faster on TensorFlow and correct for sparse gradients there.

    `m += (1 - beta_1) (g - m)`, `v += (1 - beta_2) (g^2 - v)`,
    `w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)`.

    On TensorFlow one fused operator updates a variable, where Keras runs about ten. A gradient that is a
    `tf.IndexedSlices` is made dense before it is clipped or squared: Keras 3.15 squares the slices one by
    one, so an id that occurs several times in a batch gets too small a second moment and too long a step.
    On other backends this class behaves exactly like `keras.optimizers.Adam`.

    With a `tf.distribute` strategy, the gradients of all replicas are added up before they are clipped.
    Keras 3.15 clips the gradients of each replica separately.

    Args:
        *args, **kwargs: the arguments of `keras.optimizers.Adam`. `amsgrad=True` uses Keras' own update.

    Example:
        model.compile(keras_attention.Adam(1e-3, global_clipnorm=1.0), keras_attention.TokenCrossentropy())

    Reference: Kingma and Ba (2015), algorithm 1 and the end of section 2 (the order of the divisions).
    """

    def build(self, variables):
        built = self.built
        super().build(variables)
        if built or self.amsgrad:
            return
        moments = (
            [state for state in self.variables if state.name.endswith(f"_{name}")]
            for name in ("momentum", "velocity")
        )
        self.moments = {
            id(variable): pair
            for states in zip(variables, *moments, strict=True)
            for variable, *pair in zip(*map(variables_of_replicas, states), strict=True)
        }

    def apply(self, grads, trainable_variables=None):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            grads = [grad if grad is None else tf.convert_to_tensor(grad) for grad in grads]
            grads = sums_over_replicas(grads)  # before they are clipped
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        self.one_step(of_one_replica(gradient), variable, learning_rate)

    def one_step(self, gradient, variable, learning_rate):
        """Updates a variable by the gradient of the whole batch."""
        moments = None if self.amsgrad else self.moments.get(id(variable))
        if moments is None or keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        momentum, velocity = moments
        step = tf.cast(self.iterations, variable.dtype) + 1
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )
