"""Muon: orthogonal steps for the matrices of the hidden layers, Adam's for everything else."""

import re

import keras
from keras import ops

from keras_attention.checks import check_rate, check_size
from keras_attention.training.optimizers import Adam
from keras_attention.training.replicas import variables_of_replicas

NEWTON_SCHULZ_STEPS = 5
RMS = 0.2  # root mean square of a step at a learning rate of 1, about Adam's


@keras.saving.register_keras_serializable("keras_attention")
class Muon(Adam):
    """Moves each hidden matrix along the nearest orthogonal matrix to its momentum.

    A hidden matrix W of r x c numbers moves by steps whose root mean square is about `0.2 * learning_rate`:

    `m = momentum * m + g`, `D = 0.2 sqrt(max(r, c)) orthogonalized(momentum * m + g)`,
    `W -= learning_rate * D`.

    An orthogonal step changes all directions of W equally. Adam mostly changes the few with the largest
    gradients. Since m changes slowly, D is computed only once in `refresh_every` updates.
    Vectors, embeddings and the decoder's head move as with `Adam`.

    Args:
        *args, **kwargs: the arguments of `keras.optimizers.Adam`, except `amsgrad`.
        momentum: of the hidden matrices, at least 0 and below 1.
        refresh_every: how many updates use the same D.
        exclude_layers: regular expressions; a variable whose path matches one of them moves as with `Adam`.

    Raises:
        TypeError, ValueError: an argument out of its range, or `amsgrad`.

    Example:
        model.compile(keras_attention.Muon(4e-3, global_clipnorm=1.0), keras_attention.TokenCrossentropy())

    Reference: Jordan et al. (2024), *Muon: An optimizer for hidden layers in neural networks* (the
    iteration and its coefficients); Liu et al. (2025), section 2.2 (the length of a step).
    """

    def __init__(
        self,
        *args,
        momentum=0.95,
        refresh_every=8,
        exclude_layers=("embedding", r"head(_\d+)?\b"),
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError(
                "`Muon` does not support `amsgrad`. Received: amsgrad=True. "
                "Use `keras_attention.Adam(amsgrad=True)`."
            )
        self.momentum = check_rate("momentum", momentum)
        self.refresh_every = check_size("refresh_every", refresh_every)
        if isinstance(exclude_layers, str):
            raise TypeError(f"`exclude_layers` must be a list of texts. Received: {exclude_layers!r}.")
        self.exclude_layers = tuple(exclude_layers)

    def build(self, variables):
        built = self.built
        super().build(variables)
        if built:
            return
        self.hidden = {
            id(of_replica)
            for variable in variables
            if self._is_hidden(variable)
            for of_replica in variables_of_replicas(variable)
        }

    def _is_hidden(self, variable) -> bool:
        is_matrix = len(variable.shape) == 2 and min(variable.shape) > 1
        return is_matrix and not any(re.search(part, variable.path) for part in self.exclude_layers)

    def one_step(self, gradient, variable, learning_rate):
        if id(variable) not in self.hidden:
            super().one_step(gradient, variable, learning_rate)
            return
        # A hidden matrix keeps D where Adam keeps the second moments, so it needs no extra array.
        slot, direction = self.moments[id(variable)]
        momentum = self.momentum * slot + ops.cast(gradient, slot.dtype)
        slot.assign(momentum)

        def fresh():
            ahead = self.momentum * momentum + ops.cast(gradient, slot.dtype)
            step = RMS * max(variable.shape) ** 0.5 * orthogonalized(ahead)
            return ops.cast(step, direction.dtype)

        is_due = ops.equal(ops.mod(self.iterations, self.refresh_every), 0)
        direction.assign(ops.cond(is_due, fresh, lambda: ops.convert_to_tensor(direction)))
        self.assign_sub(variable, ops.cast(learning_rate, direction.dtype) * direction)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "refresh_every": self.refresh_every,
            "exclude_layers": list(self.exclude_layers),
        }


def orthogonalized(matrix):
    """(r, c) -> about `U V^T` of the singular value decomposition `U S V^T`, float32.

    Five Newton-Schulz iterations, `x = p(A) x` with `A = x x^T` and `p(A) = 3.4445 - 4.775 A + 2.0315 A^2`,
    bring singular values above about 1/700 of the norm to between 0.65 and 1.25. Smaller ones grow, but
    stay smaller.
    """
    x = ops.cast(matrix, "float32")
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(x) if is_tall else x
    x = x / ops.maximum(ops.sqrt(ops.sum(ops.square(x))), 1e-18)
    x = _iterated_on_gram(x) if x.shape[1] > 2 * x.shape[0] else _iterated(x)
    return ops.transpose(x) if is_tall else x


def _iterated(x):
    for _ in range(NEWTON_SCHULZ_STEPS):
        x = ops.matmul(_polynomial(ops.matmul(x, ops.transpose(x))), x)
    return x


def _iterated_on_gram(x):
    """The same for a wide x. It iterates on A, which is much smaller, and multiplies x once at the end."""
    a = ops.matmul(x, ops.transpose(x))
    p = product = _polynomial(a)
    for _ in range(NEWTON_SCHULZ_STEPS - 1):
        a = ops.matmul(ops.matmul(p, p), a)  # the A of p x, since p and A commute
        p = _polynomial(a)
        product = ops.matmul(p, product)
    return ops.matmul(product, x)


def _polynomial(a):
    identity = ops.eye(a.shape[0], dtype="float32")
    return 3.4445 * identity - 4.7750 * a + 2.0315 * ops.matmul(a, a)
