import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import AttentionContext, AttentionDecoder, Encoder, padding_mask

V, E, UNITS = 13, 5, 6
TOKENS = np.array([[3, 7, 4, 2], [5, 2, 0, 0], [9, 11, 2, 0]])
KINDS = [  # every pair of options at least once
    ("lstm", 1, False),
    ("lstm", 2, True),
    ("gru", 1, True),
    ("gru", 2, False),
]


@pytest.fixture(params=KINDS, ids=lambda kind: "{}-{}-{}".format(*kind))
def encoder(request):
    cell, num_layers, bidirectional = request.param
    return Encoder(V, E, UNITS, cell, num_layers, bidirectional, dropout=0.5)


def assert_equal(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_shapes(encoder):
    memory, final_state = encoder(TOKENS)
    assert memory.shape == (3, 4, UNITS)
    assert final_state.shape == (3, UNITS)


def test_more_padding_changes_nothing(encoder):
    memory, final_state = encoder(TOKENS)
    padded_memory, padded_state = encoder(np.pad(TOKENS, ((0, 0), (0, 3))))
    assert_equal(padded_memory[:, :4], memory)
    assert not np.any(padded_memory[:, 4:])
    assert_equal(padded_state, final_state)


def test_a_batch_equals_its_rows(encoder):
    memory, final_state = encoder(TOKENS)
    for b, length in enumerate((4, 2, 3)):
        row_memory, row_state = encoder(TOKENS[b : b + 1, :length])
        assert_equal(memory[b, :length], row_memory[0])
        assert_equal(final_state[b], row_state[0])


def test_memory_is_zero_on_padding(encoder):
    memory, _ = encoder(TOKENS)
    assert not np.any(np.array(memory)[TOKENS == 0])
    assert np.all(np.any(np.array(memory)[TOKENS != 0], axis=-1))


def test_a_row_of_padding_alone_gives_zeros(encoder):
    memory, final_state = encoder(np.array([[3, 2], [0, 0]]))
    assert not np.any(memory[1])
    assert not np.any(final_state[1])
    assert np.any(final_state[0])


def test_a_given_mask_equals_the_computed_mask(encoder):
    for given, found in zip(encoder(TOKENS, tokens_mask=TOKENS != 0), encoder(TOKENS), strict=True):
        np.testing.assert_array_equal(given, found)


def test_attention_finds_the_mask_of_a_memory(encoder):
    memory, final_state = encoder(TOKENS)
    mask = padding_mask(TOKENS)
    attention = AttentionContext()
    found, weights = attention(final_state, memory)
    assert not np.any(np.array(weights)[TOKENS == 0])
    np.testing.assert_array_equal(found, attention(final_state, memory, memory_mask=mask)[0])
    decoder = AttentionDecoder(9, 3, 4)
    target = TOKENS % 9
    logits, weights = decoder(target, memory, final_state)
    assert not np.any(np.swapaxes(weights, 1, 2)[TOKENS == 0])
    np.testing.assert_array_equal(logits, decoder(target, memory, final_state, memory_mask=mask)[0])


def test_dropout_acts_only_in_training(encoder):
    memory, _ = encoder(TOKENS, training=True)
    assert np.any(memory != encoder(TOKENS)[0])
    np.testing.assert_array_equal(encoder(TOKENS)[0], encoder(TOKENS)[0])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_final_state_joins_the_last_forward_and_the_first_backward_state(cell):
    encoder = Encoder(V, E, UNITS, cell)
    memory, final_state = encoder(TOKENS)
    for b, length in enumerate((4, 2, 3)):
        assert_equal(final_state[b, : UNITS // 2], memory[b, length - 1, : UNITS // 2])
        assert_equal(final_state[b, UNITS // 2 :], memory[b, 0, UNITS // 2 :])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_equals_the_bidirectional_layer_of_keras_with_a_mask(cell):
    import keras

    encoder = Encoder(V, E, UNITS, cell)
    memory, _ = encoder(TOKENS)
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell](UNITS // 2, return_sequences=True)
    oracle = keras.layers.Bidirectional(layer)
    embedded = encoder.embedding(TOKENS)
    oracle.build(embedded.shape)
    oracle.set_weights([weight for layer in encoder.recurrent_layers for weight in layer.get_weights()])
    expected = oracle(embedded, mask=ops.convert_to_tensor(TOKENS != 0))
    assert_equal(np.array(memory)[TOKENS != 0], np.array(expected)[TOKENS != 0])


def test_layers_after_the_first_are_residual():
    encoder = Encoder(V, E, UNITS, num_layers=2)
    encoder(TOKENS)
    for layer in (encoder.stack.forward_layers[1], encoder.stack.backward_layers[1]):
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    first = Encoder(V, E, UNITS)
    first(TOKENS)
    first.embedding.set_weights(encoder.embedding.get_weights())
    stack = encoder.stack
    for mine, theirs in zip(
        first.recurrent_layers, (stack.forward_layers[0], stack.backward_layers[0]), strict=True
    ):
        mine.set_weights(theirs.get_weights())
    assert_equal(encoder(TOKENS)[0], first(TOKENS)[0])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"units": 7}, "`units` must be even"),
        ({"units": 0}, "`units` must be an integer >= 1"),
        ({"cell": "rnn"}, "`cell` must be one of lstm, gru"),
        ({"num_layers": 0}, "`num_layers` must be an integer >= 1"),
        ({"vocabulary_size": -1}, "`vocabulary_size` must be an integer >= 1"),
        ({"dropout": 1.5}, "`dropout` must be at least 0 and below 1"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        Encoder(**{"vocabulary_size": V, "embedding_dim": E, "units": UNITS, **options})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"embedding_dim": 2.5}, "`embedding_dim` must be an integer"),
        ({"dropout": "x"}, "`dropout` must be a number"),
        ({"dropout": None}, "`dropout` must be a number"),
        ({"bidirectional": "no"}, "`bidirectional` must be True or False"),
    ],
)
def test_options_of_another_type_are_refused(options, reason):
    with pytest.raises(TypeError, match=reason):
        Encoder(**{"vocabulary_size": V, "embedding_dim": E, "units": UNITS, **options})


@pytest.mark.parametrize(
    ("tokens", "error", "reason"),
    [
        ([[3, -1]], ValueError, r"ids from 0 to 12. Received: tokens\[0, 1\]=-1"),
        ([[3, 2], [V, 2]], ValueError, r"ids from 0 to 12. Received: tokens\[1, 0\]=13"),
        ([[3.0, 2.0]], TypeError, "must hold integer token ids. Received: tokens.dtype=float32"),
        ([[True]], TypeError, "must hold integer token ids"),
        ([3, 2], ValueError, r"must have the shape \(batch, length\)"),
        ([[[3]]], ValueError, r"must have the shape \(batch, length\)"),
        (np.zeros((0, 3), int), ValueError, "at least one row and one column"),
        (np.zeros((2, 0), int), ValueError, "at least one row and one column"),
    ],
)
def test_bad_tokens_are_refused_and_the_next_call_works(tokens, error, reason):
    encoder = Encoder(V, E, UNITS)
    with pytest.raises(error, match=reason):
        encoder(np.array(tokens))
    assert encoder(TOKENS)[0].shape == (3, 4, UNITS)


def test_layers_start_with_weights_of_their_own():
    encoder = Encoder(vocabulary_size=503, embedding_dim=31, units=31, bidirectional=False, num_layers=2)
    encoder.build((None, None))
    first, second = (layer.get_weights() for layer in encoder.stack.forward_layers)
    assert not np.allclose(first[0], second[0])
    assert not np.allclose(first[1], second[1])


def test_initializers_are_those_of_the_user():
    initializers = {
        "embeddings_initializer": keras.initializers.RandomUniform(-0.5, 0.5),
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "zeros",
    }
    encoder = Encoder(vocabulary_size=53, embedding_dim=31, units=22, **initializers)
    again = Encoder.from_config(encoder.get_config())
    again.build((None, None))
    assert again.get_config() == encoder.get_config()
    assert 0.4 < np.abs(again.embedding.get_weights()[0]).max() < 0.5
    assert all((layer.get_weights()[1] == 0).all() for layer in again.recurrent_layers)


def test_an_initializer_may_be_a_function():
    def threes(shape, dtype=None):
        return 3 * keras.ops.ones(shape, dtype)

    encoder = Encoder(vocabulary_size=5, embedding_dim=3, units=2, kernel_initializer=threes)
    encoder.build((None, None))
    assert all((layer.get_weights()[0] == 3).all() for layer in encoder.recurrent_layers)
