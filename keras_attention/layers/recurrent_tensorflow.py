"""The LSTM and the GRU over whole sequences on TensorFlow, with their own gradients.

TensorFlow differentiates a loop step by step: at every step it computes a matrix product for the gradient
of each weight and adds it to a sum. Here the backward loop computes only what the step before needs, and
keeps the gradients of the pre-activations. One large multiplication over all steps then gives the gradient
of each weight.

Every gate has its own tensors, split from Keras' tensors before the loop. The kernels of the backward loop
are transposed before it starts. At 256 units TensorFlow multiplies by these kernels 1.8 times as fast
forward, and 3.2 times as fast backward, as by Keras' kernel of all gates (docs/decisions.md).

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
    `x W + b`. TensorFlow propagates it to the inputs, W and b, again for all steps at once.

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
    projected = _project(inputs, _gates(kernel, 4), _gates(bias, 4))
    outputs, h, c = _lstm(*initial_state, *projected, *_gates(recurrent_kernel, 4))
    return tf.transpose(outputs, (1, 0, 2)), [h, c]


@tf.custom_gradient
def _lstm(first_h, first_c, *projected_and_kernels):
    """(B, U) twice; for each gate (T, B, U); for each (U, U) -> (T, B, U) outputs, the last h and c."""
    projected, kernels = projected_and_kernels[:4], projected_and_kernels[4:]

    def forward(t, h, c):
        zi, zf, zg, zo = (x[t] + tf.matmul(h, kernel) for x, kernel in zip(projected, kernels, strict=True))
        i, f, g, o = tf.sigmoid(zi), tf.sigmoid(zf), tf.tanh(zg), tf.sigmoid(zo)
        next_c = f * c + i * g
        tanh_c = tf.tanh(next_c)
        next_h = o * tanh_c
        return (next_h, next_c), (next_h, i, f, g, o, c, tanh_c)

    steps = tf.shape(projected[0])[0]
    (last_h, last_c), (outputs, *kept) = _scan(forward, steps, (first_h, first_c), records=7)
    outputs = outputs.stack()

    def gradient(d_outputs, d_h, d_c):
        transposed_kernels = [tf.transpose(kernel) for kernel in kernels]

        def backward(t, d_h, d_c):
            i, f, g, o, c, tanh_c = (record.read(t) for record in kept)
            d_h = d_h + d_outputs[t]
            d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
            d_z = (
                d_c * g * i * (1 - i),
                d_c * c * f * (1 - f),
                d_c * i * (1 - g * g),
                d_h * tanh_c * o * (1 - o),
            )
            return (_sum_of_products(d_z, transposed_kernels), d_c * f), d_z

        (d_h, d_c), d_z = _scan(backward, steps, (d_h, d_c), records=4, backwards=True)
        d_z = [record.stack() for record in d_z]
        before = _before(first_h, outputs)
        return _once_only(d_h, d_c, *d_z, *(_weight_gradient(before, d) for d in d_z))

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
    TensorFlow propagates `dx` to the inputs, W and b, again for all steps at once.

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
    input_bias, recurrent_bias = (_gates(row, 3) for row in tf.unstack(bias))
    projected = _project(inputs, _gates(kernel, 3), input_bias)
    outputs, h = _gru(initial_state[0], *projected, *_gates(recurrent_kernel, 3), *recurrent_bias)
    return tf.transpose(outputs, (1, 0, 2)), [h]


@tf.custom_gradient
def _gru(first_h, *projected_kernels_and_biases):
    """(B, U); for each gate (T, B, U); for each (U, U); for each (U,) -> (T, B, U) outputs, the last h."""
    projected, kernels, biases = (projected_kernels_and_biases[i : i + 3] for i in (0, 3, 6))

    def forward(t, h):
        xz, xr, xn = (x[t] for x in projected)
        hz, hr, hn = (tf.matmul(h, kernel) + bias for kernel, bias in zip(kernels, biases, strict=True))
        z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        n = tf.tanh(xn + r * hn)
        next_h = z * h + (1 - z) * n
        return (next_h,), (next_h, z, r, n, hn, h)

    steps = tf.shape(projected[0])[0]
    (last_h,), (outputs, *kept) = _scan(forward, steps, (first_h,), records=6)
    outputs = outputs.stack()

    def gradient(d_outputs, d_h):
        transposed_kernels = [tf.transpose(kernel) for kernel in kernels]

        def backward(t, d_h):
            z, r, n, hn, h = (record.read(t) for record in kept)
            d_h = d_h + d_outputs[t]
            d_n = d_h * (1 - z) * (1 - n * n)
            d_z, d_r = d_h * (h - n) * z * (1 - z), d_n * hn * r * (1 - r)
            d_p = (d_z, d_r, d_n * r)
            return (d_h * z + _sum_of_products(d_p, transposed_kernels),), (*d_p, d_n)

        (d_h,), records = _scan(backward, steps, (d_h,), records=4, backwards=True)
        d_z, d_r, d_hn, d_n = (record.stack() for record in records)
        before, d_p = _before(first_h, outputs), (d_z, d_r, d_hn)
        d_kernels = (_weight_gradient(before, d) for d in d_p)
        d_biases = (tf.reduce_sum(d, axis=(0, 1)) for d in d_p)
        return _once_only(d_h, d_z, d_r, d_n, *d_kernels, *d_biases)

    return (outputs, last_h), gradient


def _gates(weights, count):
    """(..., count * U) -> `count` times (..., U)."""
    return tf.split(weights, count, axis=-1)


def _project(inputs, kernels, biases):
    """(B, T, E), for each gate (E, U) and (U,) -> for each gate (T, B, U): `x W + b` of all steps."""
    inputs = tf.transpose(inputs, (1, 0, 2))
    return [
        tf.tensordot(inputs, kernel, axes=1) + bias for kernel, bias in zip(kernels, biases, strict=True)
    ]


def _sum_of_products(d_gates, transposed_kernels):
    """For each gate (B, U) and (U, U) -> (B, U): the gradient of h in `h R`, summed over the gates."""
    products = [tf.matmul(d, kernel) for d, kernel in zip(d_gates, transposed_kernels, strict=True)]
    return tf.add_n(products)


def _scan(step, steps, carried, records, backwards=False):
    """Runs `step(t, *carried) -> (carried, recorded)` over the steps, forwards or backwards.

    Returns:
        `(carried, records)`: the `carried` of the last call, and for each recorded tensor a `TensorArray`
        over the steps.
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
    """(T, B, U), (T, B, U) -> (U, U): the gradient of W in `outputs = inputs W`."""
    return tf.tensordot(inputs, d_outputs, axes=((0, 1), (0, 1)))


def _once_only(*gradients):
    """Makes a second derivative raise an error; it would be wrong, because the gates would be constants."""
    message = "A second derivative needs Keras' own path: call the layer with `training=False`."
    return [tf.raw_ops.PreventGradient(input=gradient, message=message) for gradient in gradients]
