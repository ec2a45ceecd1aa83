"""The matrix multiplications of training and of greedy decoding, and nothing else."""

import tensorflow as tf

RECURRENT = {"forward": "source", "backward": "source", "decoder": "target"}


class Multiplications(tf.Module):
    """The matrix multiplications of one model, each in its largest form.

    The inputs of all steps are multiplied at once, and so are the gradients of the weights. The recurrent
    multiplications run one step at a time, forward and backward. Each multiplication has its own operands,
    because TensorFlow would compute equal ones only once.
    """

    def __init__(self, embedding, units, vocabulary):
        super().__init__()
        half = units // 2
        shapes = {  # name -> (shape of the weights, whose steps its inputs are)
            "forward": ((embedding, 4 * half), "source"),
            "backward": ((embedding, 4 * half), "source"),
            "decoder": ((embedding, 4 * units), "target"),
            "bridge_h": ((units, units), None),
            "bridge_c": ((units, units), None),
            "score": ((units, units), "source"),
            "combine": ((2 * units, units), "target"),
            "head": ((units, vocabulary), "target"),
        }
        for name, size in (("forward", half), ("backward", half), ("decoder", units)):
            shapes[f"{name}_recurrent"] = ((size, 4 * size), RECURRENT[name])
        self.units = units
        self.rows = {name: rows for name, (_, rows) in shapes.items()}
        self.weights = {
            name: tf.Variable(tf.random.normal(shape, stddev=0.05)) for name, (shape, _) in shapes.items()
        }

    def inputs(self, batch, source, target):
        """The operands for a batch of that shape, made beforehand, and the shape."""
        steps = {"source": source, "target": target, None: 1}
        inputs = {
            name: tuple(tf.random.normal((batch * steps[self.rows[name]], depth)) for depth in weight.shape)
            for name, weight in self.weights.items()
        }
        for name in ("scores", "context"):
            inputs[name] = tuple(
                tf.random.normal((batch, *shape))
                for shape in ((target, self.units), (source, self.units), (target, source))
            )
        return inputs, tf.constant(batch), {"source": tf.constant(source), "target": tf.constant(target)}

    @tf.function(reduce_retracing=True)
    def train(self, inputs, batch, steps):
        """Forward and backward."""
        results = []
        for name, weight in self.weights.items():
            x, g = inputs[name]
            results.append(tf.matmul(x, g, transpose_a=True))
            if name.endswith("_recurrent"):
                side = steps[self.rows[name]]
                results += [_forward(x[:batch], weight, side), _backward(g[:batch], weight, side)]
            else:
                results += [tf.matmul(x, weight), tf.matmul(g, weight, transpose_b=True)]
        for name in ("scores", "context"):  # each with its two gradients
            query, memory, pairs = inputs[name]
            results.append(tf.matmul(query, memory, transpose_b=True))
            results.append(tf.matmul(pairs, memory))
            results.append(tf.matmul(pairs, query, transpose_a=True))
        return _all(results)

    @tf.function(reduce_retracing=True)
    def decode(self, inputs, batch, steps, length):
        """Greedy decoding of `length` tokens; the inputs are those of one target step."""
        once = ("forward", "backward", "bridge_h", "bridge_c", "score")
        results = [tf.matmul(inputs[name][0], self.weights[name]) for name in once]
        for name in ("forward_recurrent", "backward_recurrent"):
            results.append(_forward(inputs[name][0][:batch], self.weights[name], steps["source"]))
        query, memory, _ = inputs["scores"]
        *_, pairs = inputs["context"]

        def step(i, total):
            found = [
                tf.matmul(inputs[name][0], self.weights[name])
                for name in ("decoder", "decoder_recurrent", "combine", "head")
            ]
            found += [tf.matmul(query, memory, transpose_b=True), tf.matmul(pairs, memory)]
            return i + 1, total + _all(found)

        return _all(results) + tf.while_loop(lambda i, total: i < length, step, (0, 0.0))[1]


def _forward(h, weight, steps):
    size = weight.shape[0]
    return tf.while_loop(
        lambda i, h: i < steps,
        lambda i, h: (i + 1, tf.matmul(h, weight)[:, :size]),
        (0, h),
        maximum_iterations=steps,
    )[1]


def _backward(g, weight, steps):
    def step(i, g):
        # The gradient for the previous step is as wide as the gates: one column, repeated.
        return i + 1, tf.tile(tf.matmul(g, weight, transpose_b=True)[:, :1], (1, weight.shape[1]))

    return tf.while_loop(lambda i, g: i < steps, step, (0, g), maximum_iterations=steps)[1]


def _all(results):
    """A number that depends on all results: TensorFlow skips what nothing reads."""
    return tf.add_n([tf.reshape(result, (-1,))[0] for result in results])
