"""Muon: orthogonal steps for the matrices of the hidden layers, Adam's for everything else."""

import re

import keras
from keras import ops

from keras_attention.checks import check_rate, check_size
from keras_attention.optimizers import Adam

NEWTON_SCHULZ_STEPS = 5
RMS = 0.2  # of a step, in learning rates: about Adam's


@keras.saving.register_keras_serializable("keras_attention")
class Muon(Adam):
    """Moves each hidden matrix along the nearest orthogonal matrix to its momentum.

    A hidden matrix W of r x c numbers moves by steps whose root mean square is about `0.2 * learning_rate`:

    `m = momentum * m + g`, `D = 0.2 sqrt(max(r, c)) orthogonalized(momentum * m + g)`,
    `W -= learning_rate * D`.

    An orthogonal step changes all directions of W alike, where Adam's changes mostly those few that carry
    the largest gradients. Since m changes slowly, D is computed anew only once in `refresh_every` updates.
    Vectors, embeddings and the decoder's head move as with `Adam`.

    Args:
        *args, **kwargs: those of `keras.optimizers.Adam`, without `amsgrad`.
        momentum: of the hidden matrices, at least 0 and below 1.
        refresh_every: how many updates use the same D.
        exclude_layers: regular expressions; where one of them matches the path of a variable, it is no
            hidden matrix.

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
        exclude_layers=("embedding", r"\bhead\b"),
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("`amsgrad` is Adam's: take `keras_attention.Adam(amsgrad=True)`.")
        self.momentum = check_rate("momentum", momentum)
        self.refresh_every = check_size("refresh_every", refresh_every)
        self.exclude_layers = tuple(exclude_layers)

    def build(self, variables):
        built = self.built
        super().build(variables)
        if built:
            return
        is_tensorflow = keras.backend.backend() == "tensorflow"
        # What Adam has as second moments are the directions D here, so a matrix needs no third array.
        self.hidden = {
            id(variable.value if is_tensorflow else variable): pair
            for variable, *pair in zip(variables, *self.moments(), strict=True)
            if self._is_hidden(variable)
        }

    def _is_hidden(self, variable) -> bool:
        is_matrix = len(variable.shape) == 2 and min(variable.shape) > 1
        return is_matrix and not any(re.search(part, variable.path) for part in self.exclude_layers)

    def update_step(self, gradient, variable, learning_rate):
        if id(variable) not in self.hidden:
            super().update_step(gradient, variable, learning_rate)
            return
        total, direction = self.hidden[id(variable)]
        gradient = ops.cast(gradient, total.dtype)
        total.assign(self.momentum * total + gradient)

        def fresh():
            ahead = self.momentum * total + gradient
            return RMS * max(ahead.shape) ** 0.5 * orthogonalized(ahead)

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


def orthogonalized(matrices):
    """(..., r, c) -> about `U V^T` of each singular value decomposition `U S V^T`.

    By five Newton-Schulz iterations; what S becomes lies between 0.7 and 1.2.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = ops.swapaxes(matrices, -1, -2) if is_tall else matrices
    norms = ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True))
    x = x / ops.maximum(norms, 1e-18)
    for _ in range(NEWTON_SCHULZ_STEPS):
        a = ops.matmul(x, ops.swapaxes(x, -1, -2))
        x = 3.4445 * x + ops.matmul(-4.7750 * a + 2.0315 * ops.matmul(a, a), x)
    return ops.swapaxes(x, -1, -2) if is_tall else x
