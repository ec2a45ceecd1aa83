"""The LSTM and the GRU over whole sequences, with gradients of their own, on TensorFlow.

TensorFlow differentiates a loop step by step: every step multiplies for the gradient of each weight and
adds the products up. Here the backward loop computes only what the step before needs, and keeps the
gradients of the pre-activations. One large multiplication over all steps then gives the gradient of each
weight.

Notation in the formulas: `*` is elementwise, `x W` a matrix product, `R'` a transpose, `s` the sigmoid,
`dx` the gradient of the loss with respect to `x`, and `[a | b]` a concatenation along the last axis.
"""

import tensorflow as tf


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, which is how Keras (3.15) decides on cuDNN."""
    return bool(tf.config.list_logical_devices("GPU"))


def lstm(inputs, initial_state, kernel, recurrent_kernel, bias):
    """An LSTM over all steps.

    Forward, with the gates in Keras' order (W is the kernel, R the recurrent kernel, b the bias):

        [zi | zf | zg | zo] = x[t] W + b + h[t-1] R
        i, f, g, o = s(zi), s(zf), tanh(zg), s(zo)
        c[t] = f * c[t-1] + i * g
        h[t] = o * tanh(c[t])

    Backward, from the last step to the first; dh and dc start as the gradients of the last states, and
    dy[t] is the gradient of the output h[t]:

        dh = dh + dy[t]
        dc = dc + dh * o * (1 - tanh(c[t])^2)
        di, df = dc * g, dc * c[t-1]
        dg, do = dc * i, dh * tanh(c[t])
        dz[t] = [di * i (1 - i) | df * f (1 - f) | dg * (1 - g^2) | do * o (1 - o)]
        dh, dc = dz[t] R', dc * f

    After the loop `dR = sum over t of h[t-1]' dz[t]` is one multiplication. `dz` is also the gradient of
    `x W + b`, which TensorFlow carries on to the inputs, W and b, again for all steps at once.

    Args:
        inputs: (B, T, E).
        initial_state: h and c, each (B, U).
        kernel, recurrent_kernel, bias: (E, 4U), (U, 4U) and (4U,). All arguments have one dtype.

    Returns:
        `(outputs, states)`: (B, T, U), and the last h and c.

    Raises:
        LookupError: on a second derivative.

    Reference: Hochreiter and Schmidhuber (1997).
    """
    outputs, h, c = _lstm(_project(inputs, kernel, bias), *initial_state, recurrent_kernel)
    return tf.transpose(outputs, (1, 0, 2)), [h, c]


@tf.custom_gradient
def _lstm(projected, first_h, first_c, recurrent_kernel):
    """(T, B, 4U), (B, U), (B, U), (U, 4U) -> (T, B, U) outputs, the last h and the last c."""

    def forward(t, h, c):
        zi, zf, zg, zo = tf.split(projected[t] + tf.matmul(h, recurrent_kernel), 4, axis=-1)
        i, f, g, o = tf.sigmoid(zi), tf.sigmoid(zf), tf.tanh(zg), tf.sigmoid(zo)
        next_c = f * c + i * g
        tanh_c = tf.tanh(next_c)
        next_h = o * tanh_c
        return (next_h, next_c), (next_h, i, f, g, o, c, tanh_c)

    steps = tf.shape(projected)[0]
    (last_h, last_c), (outputs, *kept) = _scan(forward, steps, (first_h, first_c), records=7)
    outputs = outputs.stack()

    def gradient(d_outputs, d_h, d_c):
        def backward(t, d_h, d_c):
            i, f, g, o, c, tanh_c = (record.read(t) for record in kept)
            d_h = d_h + d_outputs[t]
            d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
            d_z = [
                d_c * g * i * (1 - i),
                d_c * c * f * (1 - f),
                d_c * i * (1 - g * g),
                d_h * tanh_c * o * (1 - o),
            ]
            d_z = tf.concat(d_z, axis=-1)
            return (tf.matmul(d_z, recurrent_kernel, transpose_b=True), d_c * f), (d_z,)

        (d_h, d_c), (d_z,) = _scan(backward, steps, (d_h, d_c), records=1, backwards=True)
        d_z = d_z.stack()
        d_recurrent_kernel = _weight_gradient(_before(first_h, outputs), d_z)
        return _once_only(d_z, d_h, d_c, d_recurrent_kernel)

    return (outputs, last_h, last_c), gradient


def gru(inputs, initial_state, kernel, recurrent_kernel, bias):
    """A GRU over all steps, with the reset gate after the multiplication (Keras' `reset_after=True`).

    Forward, with the gates in Keras' order (W, R as in `lstm`; b and b_R are the two rows of the bias):

        [xz | xr | xn] = x[t] W + b
        [hz | hr | hn] = h[t-1] R + b_R
        z, r = s(xz + hz), s(xr + hr)
        n = tanh(xn + r * hn)
        h[t] = z * h[t-1] + (1 - z) * n

    Backward, from the last step to the first; dh starts as the gradient of the last state, and dy[t] is the
    gradient of the output h[t]:

        dh = dh + dy[t]
        dn = dh * (1 - z) * (1 - n^2)
        dx[t] = [dh * (h[t-1] - n) * z (1 - z) | dn * hn * r (1 - r) | dn]      of x[t] W + b
        dp[t] = [the first two parts of dx[t] | dn * r]                         of h[t-1] R + b_R
        dh = dh * z + dp[t] R'

    After the loop `dR = sum over t of h[t-1]' dp[t]` is one multiplication; `db_R = sum over t of dp[t]`.
    TensorFlow carries `dx` on to the inputs, W and b, again for all steps at once.

    Args:
        inputs: (B, T, E).
        initial_state: h, (B, U), in a list.
        kernel, recurrent_kernel, bias: (E, 3U), (U, 3U) and (2, 3U). All arguments have one dtype.

    Returns:
        `(outputs, states)`: (B, T, U), and the last h in a list.

    Raises:
        LookupError: on a second derivative.

    Reference: Cho et al. (2014).
    """
    input_bias, recurrent_bias = tf.unstack(bias)
    projected = _project(inputs, kernel, input_bias)
    outputs, h = _gru(projected, initial_state[0], recurrent_kernel, recurrent_bias)
    return tf.transpose(outputs, (1, 0, 2)), [h]


@tf.custom_gradient
def _gru(projected, first_h, recurrent_kernel, recurrent_bias):
    """(T, B, 3U), (B, U), (U, 3U), (3U,) -> (T, B, U) outputs and the last h."""

    def forward(t, h):
        xz, xr, xn = tf.split(projected[t], 3, axis=-1)
        hz, hr, hn = tf.split(tf.matmul(h, recurrent_kernel) + recurrent_bias, 3, axis=-1)
        z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        n = tf.tanh(xn + r * hn)
        next_h = z * h + (1 - z) * n
        return (next_h,), (next_h, z, r, n, hn, h)

    steps = tf.shape(projected)[0]
    (last_h,), (outputs, *kept) = _scan(forward, steps, (first_h,), records=6)
    outputs = outputs.stack()

    def gradient(d_outputs, d_h):
        def backward(t, d_h):
            z, r, n, hn, h = (record.read(t) for record in kept)
            d_h = d_h + d_outputs[t]
            d_n = d_h * (1 - z) * (1 - n * n)
            d_z, d_r = d_h * (h - n) * z * (1 - z), d_n * hn * r * (1 - r)
            d_x, d_p = tf.concat([d_z, d_r, d_n], axis=-1), tf.concat([d_z, d_r, d_n * r], axis=-1)
            return (d_h * z + tf.matmul(d_p, recurrent_kernel, transpose_b=True),), (d_x, d_p)

        (d_h,), (d_x, d_p) = _scan(backward, steps, (d_h,), records=2, backwards=True)
        d_x, d_p = d_x.stack(), d_p.stack()
        d_recurrent_kernel = _weight_gradient(_before(first_h, outputs), d_p)
        return _once_only(d_x, d_h, d_recurrent_kernel, tf.reduce_sum(d_p, axis=(0, 1)))

    return (outputs, last_h), gradient


def _project(inputs, kernel, bias):
    """(B, T, E), (E, G), (G,) -> (T, B, G): what needs no state, for all steps at once."""
    return tf.tensordot(tf.transpose(inputs, (1, 0, 2)), kernel, axes=1) + bias


def _scan(step, steps, carried, records, backwards=False):
    """Runs `step(t, *carried) -> (carried, recorded)`, from the first step on or from the last one back.

    Returns:
        `(carried, records)`: what the last call carried on, and a `TensorArray` over the steps for each
        tensor recorded.
    """
    dtype = carried[0].dtype
    arrays = [tf.TensorArray(dtype, steps, clear_after_read=False) for _ in range(records)]

    def body(i, carried, arrays):
        t = steps - 1 - i if backwards else i
        new, recorded = step(t, *carried)
        for state, previous in zip(new, carried, strict=True):
            state.set_shape(previous.shape)
        return i + 1, new, [array.write(t, x) for array, x in zip(arrays, recorded, strict=True)]

    _, carried, arrays = tf.while_loop(lambda i, *_: i < steps, body, (0, carried, arrays))
    return carried, arrays


def _before(first, states):
    """(B, U) and (T, B, U) h[1] to h[T] -> (T, B, U) h[0] to h[T-1]."""
    return tf.concat([first[None], states[:-1]], axis=0)


def _weight_gradient(inputs, d_outputs):
    """(T, B, U), (T, B, G) -> (U, G): the gradient of W in `outputs = inputs W`."""
    return tf.tensordot(inputs, d_outputs, axes=((0, 1), (0, 1)))


def _once_only(*gradients):
    """The gradients, which cannot be differentiated again: that would treat the gates as constants."""
    message = "A second derivative needs Keras' own path: call the layer with `training=False`."
    return [tf.raw_ops.PreventGradient(input=gradient, message=message) for gradient in gradients]
