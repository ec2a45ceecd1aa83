"""The laws that every kind of source obeys: ids and vectors, our encoders, Keras models, a user's own."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention.sources import SourceSpec, as_source, check_source, ids_specs

layers = keras.layers
LENGTHS = np.array([9, 2, 5])
FEATURES = 6
TARGET = np.array([[3, 7, 5, 2], [4, 2, 0, 0], [12, 11, 3, 2]])


@keras.saving.register_keras_serializable("tests")
class ConvolutionalEncoder(keras.layers.Layer):
    """A user's encoder: an image of FEATURES rows, pooled to half its width, then a Keras LSTM each way."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = layers.Conv2D(3, 3, padding="same", activation="relu")
        self.pool = layers.MaxPooling2D((2, 2), padding="same")
        self.recurrent = layers.Bidirectional(layers.LSTM(4, return_sequences=True))

    def source_specs(self):
        return {
            "image": SourceSpec((None, None, FEATURES, 1)),
            "image_lengths": SourceSpec((None,), "int32"),
        }

    def build(self, source_shape):
        self.convolution.build(source_shape["image"])
        self.recurrent.build((None, None, 9))

    def call(self, source):
        real = ka.lengths_mask(source["image_lengths"], source["image"])[..., None, None]
        image = keras.ops.where(real, source["image"], 0.0)
        found = self.pool(keras.ops.where(real, self.convolution(image), 0.0))
        found = keras.ops.reshape(found, (-1, keras.ops.shape(found)[1], 9))
        return self.recurrent(found, mask=half(source)), ()

    def compute_mask(self, source, previous_mask=None):
        return half(source), ()


def half(source):
    """The mask after pooling."""
    return ka.lengths_mask((source["image_lengths"] + 1) // 2, source["image"][:, ::2])


def sequential(first, units=5):
    recurrent = [layers.LSTM(units, return_sequences=True), layers.GRU(units, return_sequences=True)]
    return keras.Sequential([*first, layers.Bidirectional(recurrent[0]), recurrent[1]])


def functional():
    """A frozen Keras model with a final state, as if pretrained."""
    vectors = keras.Input((None, FEATURES))
    memory, state = layers.GRU(6, return_sequences=True, return_state=True)(layers.Dense(4)(vectors))
    model = keras.Model(vectors, [memory, state])
    model.trainable = False
    return model


def front_end():
    return [
        layers.Reshape((-1, FEATURES, 1)),
        layers.Conv2D(3, 3, padding="same", bias_initializer="ones"),
        layers.AveragePooling2D((3, 2), padding="same"),
        layers.Reshape((-1, 9)),
        layers.Conv1D(4, 3, padding="same"),
    ]


# Each encoder, with one of the decoder's kinds: (a function that makes the encoder, decoder options).
KINDS = {
    "vectors": (lambda: ka.VectorEncoder(FEATURES, 8), {}),
    "pyramid": (
        lambda: ka.VectorEncoder(FEATURES, 8, "gru", 2, pyramid=2, dropout=0.1),
        {"score": "location"},
    ),
    "front end": (
        lambda: ka.VectorEncoder(FEATURES, 8, pyramid=1, bidirectional=False, front_end=front_end()),
        {"normalizer": ka.Chunkwise(2), "input_feeding": True},
    ),
    "own": (ConvolutionalEncoder, {"bridge": False, "score": "additive"}),
    "sequential of vectors": (
        lambda: sequential([keras.Input((None, FEATURES))]),
        {"head": "hard_monotonic"},
    ),
    "sequential of ids": (
        lambda: sequential([keras.Input((None,), dtype="int32"), layers.Embedding(11, 4, mask_zero=True)]),
        {"head": ka.PointerHead(13, list(range(11)))},
    ),
    "features": (
        lambda: ka.FeaturesEncoder(ka.Encoder(11, 5, 6), ka.Encoder(11, 4, 6)),
        {"normalizer": ka.Gated("sparsemax"), "input_feeding": True},
    ),
    "functional": (functional, {"num_heads": 2, "attention_units": 6, "num_layers": 2}),
}
SETTINGS = ["eager", "graph", "xla", "mixed_bfloat16"]


def make_model(name):
    make_encoder, options = KINDS[name]
    model = ka.Seq2Seq(make_encoder(), ka.AttentionDecoder(13, 7, 4, **options))
    random = np.random.default_rng(3)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(weight + random.normal(size=weight.shape, scale=0.3))
    model.run_eagerly = True  # traced graphs are compared below
    return model


def make_source(model, lengths=LENGTHS, length=9, padding=0.0):
    """Sources of these lengths, the same for any padding."""
    inputs = {}
    for name, spec in model.source_specs().items():
        if name.endswith("_lengths"):
            inputs[name] = np.asarray(lengths)
            continue
        rows = np.full(spec.sized(len(lengths), length), 0 if spec.is_integer else padding, spec.dtype)
        for row, n in enumerate(lengths):
            random = np.random.default_rng(n)
            shape = rows[row, :n].shape
            rows[row, :n] = random.integers(3, 11, shape) if spec.is_integer else random.normal(size=shape)
        inputs[name] = rows
    return as_source(inputs)


@pytest.fixture(params=KINDS, scope="module")
def model(request):
    return make_model(request.param)


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_padding_has_no_weight_and_more_of_it_changes_nothing(model):
    sources = make_source(model), make_source(model, length=14, padding=5.0)
    few, more = (model.generate(source, max_length=4) for source in sources)
    np.testing.assert_array_equal(more.tokens, few.tokens)
    assert_equal(more.scores, few.scores)
    masks = [
        np.asarray(keras.tree.flatten(model.encoder.compute_mask(source, None))[0]) for source in sources
    ]
    for row in range(len(LENGTHS)):
        few_row, more_row = few.attention[row], more.attention[row]
        assert_equal(more_row[:, masks[1][row]], few_row[:, masks[0][row]])
        assert (few_row[:, ~masks[0][row]] == 0).all()
        assert (more_row[:, ~masks[1][row]] == 0).all()


def test_a_batch_equals_its_rows(model):
    together = model.score(make_source(model), TARGET).log_probs
    for row, length in enumerate(LENGTHS):
        alone = model.score(make_source(model, [length], length), TARGET[row : row + 1])
        assert_equal(alone.log_probs, together[row : row + 1])


def test_the_order_of_the_steps_matters(model):
    """Otherwise the laws above would hold for a constant."""
    source = make_source(model)
    name = next(iter(model.source_specs()))
    turned = {**source, name: source[name][:, ::-1]} if isinstance(source, dict) else source[:, ::-1].copy()
    whole = slice(0, 1)  # the row without padding
    found = [model.score(x, TARGET).log_probs[whole] for x in (source, turned)]
    assert np.abs(found[0] - found[1]) > 1e-5


def test_beam_one_is_greedy_and_scores_are_those_of_teacher_forcing(model):
    source = make_source(model)
    greedy, one = (model.generate(source, strategy, 5) for strategy in (ka.Greedy(), ka.Beam(1)))
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    beam = model.generate(source, ka.Beam(3), 5)
    for k in range(3):
        assert_equal(model.score(source, beam.tokens[:, k]).log_probs, beam.scores[:, k])


def test_saved_equals_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    again.run_eagerly = True
    source = make_source(model)
    assert_equal(again.score(source, TARGET).log_probs, model.score(source, TARGET).log_probs)
    frozen = [weight.path.split("/", 1)[-1] for weight in again.non_trainable_weights]
    assert len(frozen) == len(model.non_trainable_weights)


@pytest.mark.parametrize(("name", "setting"), list(zip(KINDS, itertools.cycle(SETTINGS), strict=False)))
def test_training_lowers_the_loss(name, setting):
    if setting == "mixed_bfloat16":
        keras.config.set_dtype_policy(setting)
    model = make_model(name)
    flags = {"run_eagerly": setting == "eager", "jit_compile": setting == "xla"}
    model.compile(keras.optimizers.Adam(0.02), ka.TokenCrossentropy(), **flags)
    source = make_source(model)
    inputs = source if isinstance(source, dict) else {"source": source}
    inputs = {**inputs, "target": ka.shift_right(TARGET)}
    losses = model.fit(inputs, TARGET, epochs=3 if setting == "eager" else 12, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


FORMATS = ["saved_model", "litert"]


@pytest.mark.parametrize(("name", "format_name"), list(zip(KINDS, itertools.cycle(FORMATS), strict=False)))
def test_exported_equals_live(name, format_name, tmp_path):
    model = make_model(name)
    if format_name == "litert":
        pytest.importorskip("ai_edge_litert")  # the check compares each signature with the live model
        signatures = ["greedy_decode", "encode", "decode_step"]
        model.export(tmp_path / "m.tflite", "litert", signatures=signatures, max_length=4, source_length=8)
        return
    model.export(tmp_path / "1", max_length=4, warmup=True, signatures=["greedy_decode", "score"])
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    specs, source = model.source_specs(), make_source(model)
    inputs = source if isinstance(source, dict) else {"source": source}
    inputs = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    found, live = signatures["greedy_decode"](**inputs), model.generate(source, max_length=4)
    for field, expected in live._asdict().items():
        assert_equal(found[field], expected)
    scores = signatures["score"](**inputs, target=tf.constant(live.tokens))["log_probs"]
    assert_equal(scores, live.scores)


# Features.


def test_a_gate_mixes_the_contexts_of_both_parts():
    random = np.random.default_rng(0)
    query, memory = random.normal(size=(2, 3, 5)), random.normal(size=(2, 7, 4))
    marks, mask = np.zeros((2, 7, 2)), np.array([[1, 1, 1, 0, 1, 1, 0], [1, 0, 0, 0, 1, 0, 0]], bool)
    marks[:, :4, 0], marks[:, 4:, 1] = mask[:, :4], mask[:, 4:]
    memory = np.concatenate([memory, marks], axis=-1).astype("float32")
    attention = ka.AttentionContext(normalizer=ka.Gated())
    attention(query, memory, memory_mask=mask)
    for weight in attention.normalizer.weights:
        weight.assign(random.normal(size=weight.shape))
    context, weights = attention(query, memory, memory_mask=mask)
    v, bias = attention.normalizer.get_weights()
    gate = 1 / (1 + np.exp(-(query @ v + bias)))[..., None]
    plain = ka.AttentionContext()
    plain(query, memory)
    plain.score.set_weights(attention.score.get_weights())
    parts = [plain(query, memory, memory_mask=mask & (marks[..., i] > 0))[0] for i in range(2)]
    assert_equal(context, gate * parts[0] + (1 - gate) * parts[1])
    assert_equal(weights.numpy().sum(axis=-1), np.ones((2, 3)))
    assert_equal(weights.numpy()[..., :4].sum(axis=-1), gate[..., 0])


def test_vectors_may_have_features_too():
    encoder = ka.FeaturesEncoder(ka.VectorEncoder(FEATURES, 6, pyramid=1), ka.Encoder(11, 4, 6))
    model = ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4, normalizer=ka.Gated()))
    model.run_eagerly = True
    assert [*model.source_specs()] == ["source", "source_lengths", "features"]
    source = make_source(model)
    assert model.generate(source, max_length=4).attention.shape == (3, 4, 5 + 9)
    other = {**source, "features": source["features"] % 2 + 3}
    assert np.abs(model.score(source, TARGET).log_probs - model.score(other, TARGET).log_probs).max() > 1e-6


def test_invalid_encoders_of_features_are_refused():
    with pytest.raises(TypeError, match="`features` must be a keras_attention"):
        ka.FeaturesEncoder(ka.Encoder(11, 5, 6), ka.VectorEncoder(FEATURES, 6))
    different = ka.FeaturesEncoder(ka.Encoder(11, 5, 6), ka.Encoder(9, 4, 8))
    with pytest.raises(ValueError, match="must have the same depth"):
        different({"source": np.array([[3, 2]]), "features": np.array([[4, 2]])})
    with pytest.raises(ValueError, match="`normalizer` must be one of softmax"):
        ka.Gated(ka.LocalMonotonic())


# Vectors.


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model of vectors, and its SavedModel."""
    model = ka.Seq2Seq(ka.VectorEncoder(FEATURES, 8), ka.AttentionDecoder(13, 7, 4))
    path = tmp_path_factory.mktemp("vectors") / "1"
    return model, model.export(path, max_length=4, signatures=["greedy_decode"])


def test_saved_model_cli_runs_it(exported, tmp_path):
    model, path = exported
    source = make_source(model)
    np.savez(tmp_path / "in.npz", x=source["source"], n=source["source_lengths"].astype("int32"))
    command = [
        *(sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"),
        *("--dir", path, "--tag_set", "serve", "--signature_def", "serving_default", "--outdir", tmp_path),
        "--inputs",
        f"source={tmp_path / 'in.npz'}[x];source_lengths={tmp_path / 'in.npz'}[n]",
    ]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_array_equal(
        np.load(tmp_path / "tokens.npy"), model.generate(source, max_length=4).tokens
    )


NAN = np.full((1, 3, FEATURES), np.nan)
ONES = np.ones((1, 3, FEATURES))
BAD = [
    (NAN, [3], ValueError, "`source` must hold finite numbers. Received: nan at"),
    (ONES * np.inf, [3], ValueError, "finite numbers. Received: inf at"),
    (ONES[:, :, 1:], [3], ValueError, "`source` must have the shape"),
    (ONES[0], [3], ValueError, "`source` must have the shape"),
    (ONES[:, :0], [3], ValueError, "`source` must have the shape"),
    (ONES.astype(int), [3], TypeError, "`source` must hold floats"),
    (ONES, [4], ValueError, "`source_lengths` must be from 1 to 3"),
    (ONES, [0], ValueError, "`source_lengths` must be from 1 to 3"),
    (ONES, [3.0], TypeError, "`source_lengths` must hold integers"),
    (ONES, [3, 3], ValueError, "one row for each"),
]


@pytest.mark.parametrize(("vectors", "lengths", "error", "reason"), BAD)
def test_bad_vectors_are_refused(exported, vectors, lengths, error, reason):
    source = {"source": vectors, "source_lengths": np.array(lengths)}
    for use in (exported[0].generate, lambda source: exported[0].score(source, [[3, 2]])):
        with pytest.raises(error, match=reason):
            use(source)


@pytest.mark.parametrize(
    ("vectors", "lengths", "reason"),
    [
        (NAN, [3], "`source` must hold finite"),
        (ONES, [4], "`source_lengths` must be from 1 to the length"),
        (ONES, [0], "`source_lengths` must be from 1 to the length"),
        (ONES, [3, 3], "one row for each source"),
    ],
)
def test_a_bad_request_fails_with_its_reason(exported, vectors, lengths, reason):
    greedy = tf.saved_model.load(exported[1]).signatures["greedy_decode"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        greedy(source=tf.constant(vectors, tf.float32), source_lengths=tf.constant(lengths))


@pytest.mark.parametrize("source", [ONES, {"source": ONES}, {"source": ONES, "lengths": [3]}, None])
def test_other_inputs_are_refused(exported, source):
    with pytest.raises(TypeError, match=r"`source` must be a dict \{'source': .*, 'source_lengths'"):
        exported[0].generate(source)


def test_ids_may_come_in_a_dict_too():
    assert check_source(ids_specs(9), {"source": np.array([[3, 2]])}) == 1
    with pytest.raises(TypeError, match="Received: the keys"):
        check_source(ids_specs(9), {"words": np.array([[3, 2]])})


def test_ids_of_any_rank_are_checked():
    specs = {"tag": SourceSpec((None,), "int32", 5)}
    assert check_source(specs, np.array([0, 4])) == 2
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="`tag` must hold ids from 0 to 4"):
            check_source(specs, np.array([wrong]))


def test_a_mask_of_none_means_that_every_step_is_real():
    class Whole(ConvolutionalEncoder):
        def compute_mask(self, source, previous_mask=None):
            return None

    for encoder in (Whole(), ka.FeaturesEncoder(Whole(), ka.Encoder(11, 4, 8))):
        model = ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4, bridge=False))
        model.run_eagerly = True
        attention = model.generate(make_source(model, [9, 9]), max_length=3).attention
        assert (attention[:, 0] > 0).all()


def test_embeddings_within_a_model_are_found():
    inner = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(9, 4)])
    recurrent = layers.GRU(3, return_sequences=True)
    outer = keras.Sequential([keras.Input((None,), dtype="int32"), inner, recurrent])
    with pytest.raises(ValueError, match="mask_zero=True"):
        ka.ModelEncoder(outer)


def test_compiled_shapes_are_only_for_ids(exported, tmp_path):
    with pytest.raises(ValueError, match="`jit_compile` pads a source of ids"):
        exported[0].export(tmp_path / "1", jit_compile=True)


# Encoders that break the contract.


class Broken(ConvolutionalEncoder):
    specs = found = mask = None

    def source_specs(self):
        return super().source_specs() if self.specs is None else self.specs

    def call(self, source):
        memory, state = super().call(source)
        return (memory, state) if self.found is None else self.found(memory)

    def compute_mask(self, source, previous_mask=None):
        return half(source) if self.mask is None else self.mask(half(source))


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("specs", {}, "must return a dict of `keras_attention.SourceSpec`"),
        ("specs", {"source": (None, None)}, "must return a dict of `keras_attention.SourceSpec`"),
        ("specs", {"target": SourceSpec((None, None), "int32")}, "other names than"),
        ("found", lambda memory: memory, r"must return \(memory, final_state\)"),
        ("found", lambda memory: (memory[:, 0], ()), r"must return \(memory, final_state\)"),
        ("mask", lambda mask: mask[:, 0], "must return the mask of the memory"),
        ("found", lambda memory: (memory, [memory[:, 0]] * 2), "must be one tensor"),
    ],
)
def test_the_error_says_how_an_encoder_breaks_the_contract(part, value, reason):
    encoder = Broken()
    setattr(encoder, part, value)
    with pytest.raises(ValueError, match=reason):
        ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4, bridge=False))


@pytest.mark.parametrize("encoder", [None, "lstm", layers.LSTM(4), layers.Dense(3)])
def test_anything_but_an_encoder_is_refused(encoder):
    with pytest.raises(TypeError, match=r"`encoder` must be a keras_attention\.Encoder or VectorEncoder"):
        ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4))


@pytest.mark.parametrize(
    ("first", "error", "reason"),
    [
        ([layers.LSTM(4, return_sequences=True)], TypeError, "starts with a `keras.Input`"),
        ([keras.Input((None, 6)), layers.LSTM(4)], ValueError, "the memory"),
        ([keras.Input((6,)), layers.Dense(4)], ValueError, "must have one input"),
        (
            [keras.Input((None, 6)), layers.Conv1D(4, 2, strides=2), layers.GRU(3, return_sequences=True)],
            ValueError,
            "must not change the length of its source",
        ),
        (
            [
                keras.Input((None,), dtype="int32"),
                layers.Embedding(9, 4),
                layers.GRU(3, return_sequences=True),
            ],
            ValueError,
            "mask_zero=True",
        ),
    ],
)
def test_a_keras_model_that_is_not_an_encoder_is_refused(first, error, reason):
    with pytest.raises(error, match=reason):
        ka.Seq2Seq(keras.Sequential(first), ka.AttentionDecoder(13, 7, 4))


@pytest.mark.parametrize(
    ("layer", "error", "reason"),
    [
        (layers.Conv1D(4, 3), ValueError, "padding='same'"),
        (layers.GroupNormalization(1), ValueError, "would count padding"),
        (
            layers.Conv1D(4, 3, strides=2, padding="same"),
            ValueError,
            "Only a pooling layer may have a stride",
        ),
        (layers.MaxPooling1D(2), ValueError, "padding='same'"),
        (layers.MaxPooling1D(3, 2, padding="same"), ValueError, "as long as its stride"),
        (layers.AveragePooling1D(3, 1, padding="same"), ValueError, "as long as its stride"),
        (layers.ZeroPadding1D(2), ValueError, "padding='same'"),
        (layers.GRU(4, return_sequences=True), ValueError, "must not contain recurrent layers"),
        ("conv", TypeError, "list of Keras layers"),
        (keras.Sequential([layers.Dense(FEATURES)]), TypeError, "not of models"),
    ],
)
def test_a_front_end_whose_padding_would_matter_is_refused(layer, error, reason):
    with pytest.raises(error, match=reason):
        ka.VectorEncoder(FEATURES, 8, front_end=[layer])


def test_the_means_of_a_batch_normalization_do_not_count_padding():
    vectors = np.random.default_rng(0).normal(size=(3, 4, FEATURES)).astype("float32")
    memories = []
    for more in (0, 5):
        keras.utils.set_random_seed(1)
        front = [
            layers.Reshape((-1, FEATURES, 1)),
            layers.BatchNormalization(),
            layers.Reshape((-1, FEATURES)),
        ]
        encoder = ka.VectorEncoder(FEATURES, 8, front_end=[*front, layers.BatchNormalization()])
        padded = np.pad(vectors, ((0, 0), (0, more), (0, 0)), constant_values=9)
        source = {"source": padded, "source_lengths": np.array([4, 2, 3])}
        memories.append(encoder(source, training=True)[0][:, :4])
    np.testing.assert_allclose(*memories, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_integers_of_any_type_are_lengths_and_ids(dtype):
    encoder = ka.VectorEncoder(2, 4, pyramid=3)
    source = {"source": np.zeros((1, 250, 2), "float32"), "source_lengths": np.array([250], dtype)}
    assert np.sum(encoder.compute_mask(source)[0]) == 32
    copies = ka.PointerHead(300)._copies(np.array([[5, 1, 0]], dtype))
    np.testing.assert_array_equal(np.sum(copies, axis=-1), [[1, 0, 0]])


def test_a_front_end_must_keep_its_length():
    encoder = ka.VectorEncoder(FEATURES, 8, front_end=[layers.UpSampling1D(2)])
    with pytest.raises(ValueError, match="into ceil"):
        encoder.build({"source": (None, None, FEATURES), "source_lengths": (None,)})


def test_a_front_end_must_end_in_vectors():
    encoder = ka.VectorEncoder(FEATURES, 8, front_end=[layers.Reshape((-1, FEATURES, 1))])
    with pytest.raises(ValueError, match="The last layer of `front_end` must return vectors"):
        ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4))


def test_a_head_that_copies_needs_ids():
    with pytest.raises(ValueError, match="only input must be ids"):
        ka.Seq2Seq(ka.VectorEncoder(FEATURES, 8), ka.AttentionDecoder(13, 7, 4, head="pointer"))


def test_a_row_of_the_shortest_source_has_no_nan_in_gradients():
    model = make_model("pyramid")
    source = make_source(model, [1, 9, 3])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model({**source, "target": ka.shift_right(TARGET)}, training=True) ** 2)
    for gradient in tape.gradient(loss, [weight.value for weight in model.trainable_weights]):
        assert gradient is None or np.isfinite(tf.convert_to_tensor(gradient)).all()


def test_the_memory_of_a_pyramid_has_its_mask():
    encoder = ka.VectorEncoder(FEATURES, 8, pyramid=2)
    source = make_source(ka.Seq2Seq(encoder, ka.AttentionDecoder(13, 7, 4)), [9, 2, 5])
    memory, _ = encoder(source)
    assert memory.shape == (3, 3, 8)
    assert encoder.reduction == 4
    np.testing.assert_array_equal(encoder.compute_mask(source)[0], [[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    _, weights = ka.AttentionContext()(memory[:, 0], memory)  # Keras attached the mask
    assert (np.asarray(weights)[1, 1:] == 0).all()
