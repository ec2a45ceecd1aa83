import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import AttentionDecoder, AttentionDecoderCell, Encoded

V, E, UNITS, D, B, S, T = 13, 5, 4, 6, 3, 7, 5
TARGET = np.array([[2, 7, 4, 11, 3], [2, 5, 0, 0, 0], [2, 9, 11, 0, 0]])
KINDS = [  # every pair of options at least once
    ("lstm", 1, False, False),
    ("lstm", 2, True, True),
    ("gru", 1, True, True),
    ("gru", 2, False, True),
    ("gru", 2, True, False),
]


@pytest.fixture(params=KINDS, ids=lambda kind: "{}-{}-feeding={}-tanh={}".format(*kind))
def decoder(request):
    cell, num_layers, input_feeding, attentional_layer = request.param
    return AttentionDecoder(
        V,
        E,
        UNITS,
        cell,
        num_layers,
        score="additive",
        input_feeding=input_feeding,
        attentional_layer=attentional_layer,
        dropout=0.5,
    )


@pytest.fixture
def encoded():
    """Memory, final state and mask, as an encoder returns them."""
    random = np.random.default_rng(2)
    memory = random.normal(size=(B, S, D)).astype("float32")
    final_state = random.normal(size=(B, D)).astype("float32")
    mask = np.arange(S) < np.array([7, 2, 5])[:, None]
    return tuple(ops.convert_to_tensor(x) for x in (memory, final_state, mask))


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_shapes(decoder, encoded):
    memory, final_state, mask = encoded
    logits, weights = decoder(TARGET, memory, final_state, memory_mask=mask)
    assert logits.shape == (B, T, V)
    assert weights.shape == (B, T, S)


def test_all_at_once_equals_step_by_step(decoder, encoded):
    memory, final_state, mask = encoded
    all_logits, all_weights = decoder(TARGET, memory, final_state, memory_mask=mask)
    source = decoder.encode(memory, mask)
    state = decoder.initial_state(source, final_state)
    for t in range(T):
        logits, found, state = decoder.step(TARGET[:, t], state, source)
        assert_equal(logits, all_logits[:, t])
        assert_equal(found.weights, all_weights[:, t])


def test_unrolling_equals_single_steps(decoder, encoded):
    memory, final_state, mask = encoded
    decoder(TARGET, memory, final_state)
    cell, embedded, source = decoder.attention_cell, decoder.embedding(TARGET), decoder.encode(memory, mask)
    all_steps, last = cell.unroll(embedded, cell.zero_state(source), source)
    state = cell.zero_state(source)
    for t in range(T):
        found, state = cell(embedded[:, t], state, source)
        for actual, expected in zip(found, all_steps, strict=True):
            assert_equal(actual, expected[:, t])
    keras.tree.assert_same_structure(state, last)
    for actual, expected in zip(*map(keras.tree.flatten, (state.recurrent, last.recurrent)), strict=True):
        assert_equal(actual, expected)


def test_a_batch_equals_its_rows(decoder, encoded):
    memory, final_state, mask = encoded
    all_logits, all_weights = decoder(TARGET, memory, final_state, memory_mask=mask)
    for b in range(B):
        row = slice(b, b + 1)
        logits, weights = decoder(TARGET[row], memory[row], final_state[row], memory_mask=mask[row])
        assert_equal(logits, all_logits[row])
        assert_equal(weights, all_weights[row])


def test_more_padding_changes_nothing(decoder, encoded):
    memory, final_state, mask = encoded
    logits, weights = decoder(TARGET, memory, final_state, memory_mask=mask)
    padded_logits, padded_weights = decoder(
        np.pad(TARGET, ((0, 0), (0, 2))),
        np.pad(memory, ((0, 0), (0, 3), (0, 0)), constant_values=7),
        final_state,
        memory_mask=np.pad(mask, ((0, 0), (0, 3))),
    )
    assert_equal(padded_logits[:, :T], logits)
    assert_equal(padded_weights[:, :T, :S], weights)
    assert not np.any(padded_weights[:, :, S:])


def test_the_bridge_makes_the_initial_states_from_the_final_state(decoder, encoded):
    memory, final_state, _ = encoded
    logits, _ = decoder(TARGET, memory, final_state)
    other_logits, _ = decoder(TARGET, memory, 2 * final_state)
    assert np.any(np.abs(logits - other_logits) > 1e-4)
    state = decoder.initial_state(decoder.encode(memory), final_state)
    zeros = decoder.attention_cell.zero_state(decoder.encode(memory))
    flatten = keras.tree.flatten
    assert [x.shape for x in flatten(state)] == [x.shape for x in flatten(zeros)]
    assert all(np.any(x) for x in flatten(state.recurrent))
    assert not any(np.any(x) for x in flatten((state.fed, zeros)))


def test_a_bridge_without_a_final_state_is_refused(encoded):
    memory, _, _ = encoded
    with pytest.raises(ValueError, match="`bridge=False` to start from zeros"):
        AttentionDecoder(V, E, UNITS)(TARGET, memory)


def test_without_a_bridge_the_final_state_is_not_read(encoded):
    memory, final_state, _ = encoded
    decoder = AttentionDecoder(V, E, UNITS, bridge=False)
    given, _ = decoder(TARGET, memory, final_state)
    np.testing.assert_array_equal(given, decoder(TARGET, memory)[0])
    state = decoder.initial_state(decoder.encode(memory), final_state)
    assert not any(np.any(x) for x in keras.tree.flatten(state))
    assert not decoder.bridge_layers


def test_dropout_acts_only_in_training(decoder, encoded):
    memory, final_state, _ = encoded
    logits, _ = decoder(TARGET, memory, final_state)
    np.testing.assert_array_equal(decoder(TARGET, memory, final_state)[0], logits)
    assert np.any(decoder(TARGET, memory, final_state, training=True)[0] != logits)


def built_cell(*args, memory, **kwargs):
    """A cell with weights, and its source."""
    cell = AttentionDecoderCell(*args, **kwargs)
    cell.build((B, E), None, Encoded(memory.shape, None))
    return cell


def test_input_feeding_feeds_the_attentional_vector(encoded):
    memory, _, _ = encoded
    cell = built_cell(UNITS, input_feeding=True, memory=memory)
    inputs, source = np.ones((B, E), "float32"), cell.encode(memory)
    zeros = cell.zero_state(source)
    found, state = cell(inputs, zeros, source)
    np.testing.assert_array_equal(state.fed, found.vector)
    other = zeros._replace(fed=ops.ones((B, UNITS)))
    assert np.any(cell(inputs, other, source)[0].vector != found.vector)


def test_vector_is_tanh_of_h_and_context(encoded):
    memory, _, mask = encoded
    cell = built_cell(UNITS, memory=memory)
    inputs, source = np.ones((B, E), "float32"), cell.encode(memory, mask)
    found, state = cell(inputs, cell.zero_state(source), source)
    assert_equal(found.h, state.recurrent[0][0])
    assert_equal(found.context, np.einsum("bs,bsd->bd", found.weights, memory))
    kernel = cell.combine.kernel.numpy()
    assert_equal(found.vector, np.tanh(np.concatenate([found.h, found.context], axis=-1) @ kernel))


def test_without_the_attentional_layer_the_head_reads_h_and_context(encoded):
    memory, _, _ = encoded
    decoder = AttentionDecoder(V, E, UNITS, attentional_layer=False, bridge=False)
    decoder(TARGET, memory)
    assert decoder.head.dense.kernel.shape == (UNITS + D, V)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_dropout_of_a_cell_called_directly_acts_in_training(kind, encoded):
    memory, _, _ = encoded
    cell = built_cell(UNITS, kind, num_layers=2, dropout=0.5, memory=memory)
    source = cell.encode(memory)
    given = np.ones((B, E), "float32"), cell.zero_state(source), source
    vector = cell(*given)[0].vector
    np.testing.assert_array_equal(cell(*given)[0].vector, vector)
    assert np.any(cell(*given, training=True)[0].vector != vector)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_keys_are_computed_once_for_all_steps(monkeypatch, encoded, input_feeding):
    memory, final_state, _ = encoded
    decoder = AttentionDecoder(V, E, UNITS, input_feeding=input_feeding)
    decoder(TARGET, memory, final_state)
    calls = []
    score = type(decoder.attention_cell.score)
    project = score.project_memory
    monkeypatch.setattr(score, "project_memory", lambda self, m: calls.append(1) or project(self, m))
    decoder(TARGET, memory, final_state)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"cell": "elman"}, ValueError, "`cell` must be one of lstm, gru"),
        ({"cell": ["lstm"]}, TypeError, "`cell` must be a name or a Keras RNN layer"),
        ({"score": "hamming"}, ValueError, "`score` must be one of dot, scaled_dot, general, additive"),
        ({"units": -3}, ValueError, "`units` must be an integer >= 1"),
        ({"units": True}, TypeError, "`units` must be an integer"),
        ({"input_feeding": "no"}, TypeError, "`input_feeding` must be True or False"),
        ({"bridge": None}, TypeError, "`bridge` must be True or False"),
        ({"attention_units": 0}, ValueError, "`attention_units` must be an integer >= 1"),
        ({"vocabulary_size": "many"}, TypeError, "`vocabulary_size` must be an integer"),
    ],
)
def test_wrong_options_are_refused(options, error, reason):
    with pytest.raises(error, match=reason):
        AttentionDecoder(**{"vocabulary_size": V, "embedding_dim": E, "units": UNITS, **options})


def test_units_that_the_score_cannot_take_are_refused(encoded):
    memory, _, _ = encoded
    with pytest.raises(ValueError, match="the same depth"):
        AttentionDecoder(V, E, UNITS, score="dot", bridge=False)(TARGET, memory)


def test_bad_tokens_are_refused(encoded):
    memory, _, _ = encoded
    decoder = AttentionDecoder(V, E, UNITS, bridge=False)
    with pytest.raises(ValueError, match=r"ids from 0 to 12. Received: target\[0, 4\]=13"):
        decoder(np.where(TARGET == 3, V, TARGET), memory)
    with pytest.raises(TypeError, match="integer"):
        decoder(TARGET.astype("float32"), memory)
    assert decoder(TARGET, memory)[0].shape == (B, T, V)


def test_the_heads_range_does_not_shrink_with_the_vocabulary():
    for size in (53, 5003):
        decoder = AttentionDecoder(vocabulary_size=size, embedding_dim=5, units=32)
        decoder.build((None, None), (None, None, 32), (None, 32))
        largest = np.abs(decoder.head.get_weights()[0]).max()
        assert 0.95 < largest / (3 / 32) ** 0.5 <= 1  # LeCun's range, sqrt(3 / units)


def test_initializers_are_those_of_the_user():
    initializers = {
        "embeddings_initializer": keras.initializers.RandomUniform(-0.5, 0.5),
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "zeros",
        "head_initializer": "ones",
    }
    decoder = AttentionDecoder(vocabulary_size=53, embedding_dim=31, units=22, **initializers)
    again = AttentionDecoder.from_config(decoder.get_config())
    again.build((None, None), (None, None, 22), (None, 22))
    assert {again.get_config()[name] == decoder.get_config()[name] for name in initializers} == {True}
    assert 0.4 < np.abs(again.embedding.get_weights()[0]).max() < 0.5
    assert all((layer.get_weights()[1] == 0).all() for layer in again.recurrent_layers)
    assert (again.head.get_weights()[0] == 1).all()


def test_a_state_of_another_cell_is_refused(encoded):
    cells = [AttentionDecoderCell(4, num_layers=n, input_feeding=fed) for n, fed in ((1, True), (2, False))]
    memory, _, mask = encoded
    source, embedded = Encoded(memory, mask), np.ones((B, 3), "float32")
    for cell, other, what in ((*cells, "fed, recurrent"), (*reversed(cells), "fed, recurrent")):
        with pytest.raises(ValueError, match=f"does not belong to this cell: {what} does not match"):
            cell(embedded, other.zero_state(source), source)
