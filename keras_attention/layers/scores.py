"""Score functions: how well each memory state matches a query. One small class each."""

import keras
from keras import ops

from keras_attention.checks import check_optional_size
from keras_attention.layers.configured import Configured


class Score(Configured, keras.layers.Layer):
    """Base class of the scores. For a score of your own, subclass it and override `compare`.

    `score(query, memory) = compare(query, project_memory(memory))`. The projection does not depend on
    the query, so a decoder computes these *keys* once per source and passes them to every step.

    Args:
        units: depth of the keys, if the score projects the memory; None takes the depth of the query.

    Call arguments:
        query: (B, T, U) float.
        memory: (B, S, D) float.
        keys: (B, S, units) float, `project_memory(memory)`; None computes them.
        history: `History` with (B, T, S) tensors. A score whose `looks_back` is True gets it as the third
            argument of `compare`.

    Returns:
        (B, T, S) scores, one for each query and memory state, before the softmax.

    Example:
        @keras.saving.register_keras_serializable("my_package")
        class Distance(keras_attention.Score):
            def compare(self, query, keys):
                difference = keras.ops.expand_dims(query, 2) - keras.ops.expand_dims(keys, 1)
                return -keras.ops.sum(keras.ops.square(difference), axis=-1)
    """

    looks_back = False  # whether the score reads the weights of earlier steps

    def __init__(self, units=None, **kwargs):
        super().__init__(**kwargs)
        self.units = check_optional_size("units", units)

    def build(self, query_shape, memory_shape):
        """Does nothing, unless a score has weights. Keras needs the method to set `built`."""

    def call(self, query, memory, keys=None, history=None):
        keys = self.project_memory(memory) if keys is None else keys
        return self.compare(query, keys, history) if self.looks_back else self.compare(query, keys)

    def project_memory(self, memory):
        """(B, S, D) memory -> (B, S, units) keys."""
        return memory

    def project(self, memory, kernel):
        """`memory @ kernel` in the compute dtype. Outside a call, Keras does not cast the kernel."""
        return ops.matmul(memory, ops.cast(kernel, self.compute_dtype))

    def compare(self, query, keys):
        """(B, T, U) query, (B, S, units) keys -> (B, T, S) scores."""
        raise NotImplementedError(f"{type(self).__name__} must override `compare(query, keys)`.")

    def compute_mask(self, query, previous_mask=None):
        """None: the mask of the query does not describe the scores."""

    def compute_output_shape(self, query_shape, memory_shape, **kwargs):
        return (*query_shape[:2], memory_shape[1])


def dot_products(query, keys):
    """(B, T, U), (B, S, U) -> (B, T, S)."""
    return ops.matmul(query, ops.transpose(keys, (0, 2, 1)))


@keras.saving.register_keras_serializable("keras_attention")
class DotScore(Score):
    """`query . memory`, without weights, for a query and a memory of the same depth.

    Raises:
        ValueError: `units` is given (there is nothing to project), or the depths differ.

    Reference: Luong et al. (2015), section 3.1, "dot".
    """

    def __init__(self, units=None, **kwargs):
        if units is not None:
            raise ValueError(
                f"{type(self).__name__} has no projection and takes no `units`. "
                f"Received: units={units}. Leave it out, or use the score 'general'."
            )
        super().__init__(**kwargs)

    def build(self, query_shape, memory_shape):
        if query_shape[-1] != memory_shape[-1]:
            raise ValueError(
                f"{type(self).__name__} needs a query and a memory of the same depth. Received: "
                f"query {query_shape[-1]}, memory {memory_shape[-1]}. Use the score 'general'."
            )

    def compare(self, query, keys):
        return dot_products(query, keys)


@keras.saving.register_keras_serializable("keras_attention")
class ScaledDotScore(DotScore):
    """`query . memory / sqrt(depth)`, without weights.

    Reference: Vaswani et al. (2017), section 3.2.1.
    """

    def compare(self, query, keys):
        return dot_products(query * query.shape[-1] ** -0.5, keys)


@keras.saving.register_keras_serializable("keras_attention")
class GeneralScore(Score):
    """`g * query . (W memory)`, Luong's bilinear score.

    Args:
        units: depth of the keys, which for this score must be the depth U of the query.
        use_scale: whether to learn the scalar `g` (initially 1) too; if False, `g` is 1.

    Raises:
        ValueError: `units` is given and is not the depth of the query.

    Reference: Luong et al. (2015), section 3.1, "general".
    """

    def __init__(self, units=None, use_scale=False, **kwargs):
        super().__init__(units, **kwargs)
        self.use_scale = use_scale

    def build(self, query_shape, memory_shape):
        if self.units not in (None, query_shape[-1]):
            raise ValueError(
                "The score 'general' projects the memory to the depth of the query. Received: "
                f"units={self.units}, query depth {query_shape[-1]}. Leave `units` out."
            )
        self.memory_kernel = self.add_weight(
            shape=(memory_shape[-1], query_shape[-1]), name="memory_kernel"
        )
        if self.use_scale:
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def project_memory(self, memory):
        return self.project(memory, self.memory_kernel)

    def compare(self, query, keys):
        return dot_products(query * self.scale if self.use_scale else query, keys)


@keras.saving.register_keras_serializable("keras_attention")
class AdditiveScore(Score):
    """`v . tanh(W_query query + W_memory memory)`, Bahdanau's score.

    Args:
        units: depth of the hidden layer; None takes the depth of the query.
        normalize: whether to normalize v: `g v / |v|` instead of `v`, with a learned scalar `g` (initially
            sqrt(1 / units)), and to add a bias inside the tanh, as in tensorflow-addons.

    Reference: Bahdanau et al. (2014), appendix A.1.2, where the query is the state before the step;
    Salimans and Kingma (2016), section 2.
    """

    def __init__(self, units=None, normalize=False, **kwargs):
        super().__init__(units, **kwargs)
        self.normalize = normalize

    def build(self, query_shape, memory_shape):
        units = self.units or query_shape[-1]
        self.add_kernels(query_shape[-1], memory_shape[-1], units)
        self.v = self.add_weight(shape=(units,), initializer=_vector_initializer(units), name="v")
        if self.normalize:
            self.g = self.add_weight(
                shape=(), initializer=keras.initializers.Constant(units**-0.5), name="g"
            )
            self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")

    def add_kernels(self, query_depth, memory_depth, units):
        self.query_kernel = self.add_weight(shape=(query_depth, units), name="query_kernel")
        self.memory_kernel = self.add_weight(shape=(memory_depth, units), name="memory_kernel")

    def project_memory(self, memory):
        return self.project(memory, self.memory_kernel)

    def compare(self, query, keys):
        return self.energy(ops.expand_dims(self.of_query(query), 2) + ops.expand_dims(keys, 1))

    def of_query(self, query):
        """(B, T, U) -> (B, T, units), the query's part of the input of the tanh."""
        # Not `matmul`: in three dimensions it is a `tensordot` on TensorFlow, see `energy`.
        query = ops.einsum("btd,du->btu", query, ops.cast(self.query_kernel, query.dtype))
        return query + self.bias if self.normalize else query

    def energy(self, inputs):
        """(B, T, S, units) input of the tanh -> (B, T, S) scores."""
        v = self.v
        if self.normalize:
            v = v * (self.g * ops.rsqrt(ops.sum(ops.square(v))))
        # Not `matmul`: with four dimensions by two, that of TensorFlow 2.21 (oneDNN) corrupted memory on a
        # CPU. Not `tensordot`: in a loop, XLA rejects its gradient if the shape is unknown.
        return ops.sum(ops.tanh(inputs) * v, axis=-1)


@keras.saving.register_keras_serializable("keras_attention")
class ConcatScore(AdditiveScore):
    """`v . tanh(W [query; memory])`, Luong's concat score.

    `W [query; memory] = W_query query + W_memory memory`: this is the additive score with its two matrices
    stored, and initialized, as one. The memory's part is computed once per source here too. `units` and
    `normalize` are as in `AdditiveScore`.

    Reference: Luong et al. (2015), section 3.1, "concat".
    """

    def add_kernels(self, query_depth, memory_depth, units):
        self.query_depth = query_depth
        self.kernel = self.add_weight(shape=(query_depth + memory_depth, units), name="kernel")

    @property
    def query_kernel(self):
        return self.kernel[: self.query_depth]

    @property
    def memory_kernel(self):
        return self.kernel[self.query_depth :]


def _vector_initializer(units):
    """Glorot's range for v, seen as a (units, 1) matrix."""
    limit = (6 / (units + 1)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
