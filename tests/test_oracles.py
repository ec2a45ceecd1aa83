"""The numbers of other libraries, reproduced with their weights (tests/data/README.md)."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention import (
    AdditiveScore,
    AttentionContext,
    AttentionDecoder,
    Beam,
    GeneralScore,
    Greedy,
    sequence_lengths,
)
from keras_attention.layers.heads import PointerHead
from keras_attention.layers.location import LocationScore
from keras_attention.layers.named import NORMALIZERS
from keras_attention.layers.states import DecoderState, DecoderStep, Encoded

TOLERANCE = 1e-5


def prefix_mask(lengths, steps):
    return np.arange(steps) < lengths[:, None]


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def set_additive_weights(score, oracle):
    score.memory_kernel.assign(oracle["memory_kernel"])
    score.query_kernel.assign(oracle["query_kernel"])
    score.v.assign(oracle["v"])
    if score.normalize:
        score.g.assign(oracle["g"])
        score.bias.assign(oracle["b"])


def set_general_weights(score, oracle):
    score.memory_kernel.assign(oracle["memory_kernel"])
    if score.use_scale:
        score.scale.assign(oracle["g"])


SCORES = {
    "luong": (GeneralScore(), set_general_weights),
    "luong_scaled": (GeneralScore(use_scale=True), set_general_weights),
    "bahdanau": (AdditiveScore(), set_additive_weights),
    "bahdanau_normed": (AdditiveScore(normalize=True), set_additive_weights),
}


@pytest.mark.parametrize("kind", SCORES)
def test_scores(scores_file, kind):
    oracle = np.load(scores_file)
    template, set_weights = SCORES[kind]
    attention = AttentionContext(score=type(template).from_config(template.get_config()))
    attention.build(oracle["query"].shape, oracle["memory"].shape)
    set_weights(attention.score, oracle)
    mask = prefix_mask(oracle["lengths"], oracle["memory"].shape[1])
    np.testing.assert_array_equal(sequence_lengths(mask), oracle["lengths"])

    context, weights = attention(oracle["query"], oracle["memory"], memory_mask=mask)

    assert_close(weights, oracle[f"{kind}_weights"])
    assert_close(context, oracle[f"{kind}_context"])


def weights_step_by_step(attention, oracle, training=False):
    """Contexts (B, T, D) and weights (B, T, S); each step reads the weights of the previous one."""
    memory = ops.convert_to_tensor(oracle["memory"])
    mask = ops.convert_to_tensor(prefix_mask(oracle["lengths"], memory.shape[1]))
    history, found = attention.first_history(mask), []
    for t in range(oracle["queries"].shape[1]):
        context, weights = attention(
            oracle["queries"][:, t], memory, memory_mask=mask, history=history, training=training
        )
        history = attention.next_history(history, weights)
        found.append((context, weights))
    return [np.stack(parts, axis=1) for parts in zip(*found, strict=True)]


def test_location_score(location_file):
    oracle = np.load(location_file)
    filters, _, kernel_size = oracle["location_layer_location_conv_weight"].shape
    units = oracle["v_weight"].shape[1]
    attention = AttentionContext(score=LocationScore(units, filters=filters, kernel_size=kernel_size))
    attention.build(oracle["queries"].shape, oracle["memory"].shape)
    score = attention.score
    score.query_kernel.assign(oracle["query_layer_weight"].T)
    score.memory_kernel.assign(oracle["memory_layer_weight"].T)
    score.v.assign(oracle["v_weight"][0])
    score.filter_kernel.assign(oracle["location_layer_location_conv_weight"].transpose(2, 1, 0))
    score.location_kernel.assign(oracle["location_layer_location_dense_weight"].T)

    contexts, weights = weights_step_by_step(attention, oracle)

    assert_close(weights, oracle["weights"])
    assert_close(contexts, oracle["contexts"])


@pytest.mark.parametrize("kind", ["luong", "bahdanau", "bahdanau_normed"])
def test_monotonic_attention(monotonic_file, kind):
    oracle = np.load(monotonic_file)
    template, set_weights = SCORES[kind]
    score = type(template).from_config(template.get_config())
    attention = AttentionContext(score=score, normalizer="monotonic")
    attention.build(oracle["queries"].shape, oracle["memory"].shape)
    set_weights(score, oracle)
    attention.normalizer.score_bias.assign(oracle["score_bias"])

    _, expected_alignment = weights_step_by_step(attention, oracle, training=True)
    _, hard = weights_step_by_step(attention, oracle)

    assert_close(expected_alignment, oracle[f"{kind}_parallel_weights"])
    assert_close(expected_alignment, oracle[f"{kind}_recursive_weights"])
    assert_close(hard, oracle[f"{kind}_hard_weights"])


@pytest.mark.parametrize("kind", ["softmax", "sparsemax", "entmax15"])
def test_normalizers(normalizers_file, kind):
    import tensorflow as tf

    oracle = np.load(normalizers_file)
    scores = tf.Variable(oracle["scores"])
    mask = prefix_mask(oracle["lengths"], scores.shape[-1])[:, None]
    with tf.GradientTape() as tape:
        weights = NORMALIZERS[kind]()(scores, mask)
        loss = tf.reduce_sum(weights * np.linspace(-1, 1, scores.shape[-1], dtype="float32"))

    assert_close(weights, oracle[kind])
    if kind != "softmax":
        assert_close(tape.gradient(loss, scores), oracle[f"{kind}_gradient"])


def test_pointer_head(pointer_file):
    oracle = np.load(pointer_file)
    head = PointerHead(oracle["head_kernel"].shape[1])
    head.build((oracle["hidden"].shape,))
    head.dense.set_weights([oracle["head_kernel"], oracle["head_bias"]])
    head.gate.set_weights([oracle["gate_kernel"], oracle["gate_bias"]])
    hidden, weights, source = (ops.convert_to_tensor(oracle[n]) for n in ("hidden", "weights", "source"))

    log_probs = head(DecoderStep(hidden, hidden, hidden, weights), Encoded(hidden, source != 0, (), source))

    assert_close(np.exp(log_probs), oracle["probabilities"])


def decoder_with_weights_of(oracle, score):
    """An `AttentionDecoder` with the weights of an oracle, and its initial state."""
    vocabulary_size, embedding_dim = oracle["embedding"].shape
    decoder = AttentionDecoder(
        vocabulary_size, embedding_dim, oracle["h0"].shape[1], score=score, input_feeding=True, bridge=False
    )
    decoder.build(oracle["inputs"].shape, oracle["memory"].shape)
    cell = decoder.attention_cell
    decoder.embedding.set_weights([oracle["embedding"]])
    cell.stack.recurrent_layers[0].set_weights(
        [oracle["cell_kernel"], oracle["cell_recurrent_kernel"], oracle["cell_bias"]]
    )
    cell.combine.set_weights([oracle["attention_kernel"]])
    decoder.head.dense.set_weights([oracle["projection_kernel"], oracle["projection_bias"]])
    set_weights = set_additive_weights if score == "additive" else set_general_weights
    set_weights(cell.score, oracle)
    no_vector_yet = np.zeros_like(oracle["h0"])
    h_and_c = tuple(ops.convert_to_tensor(oracle[name]) for name in ("h0", "c0"))
    return decoder, DecoderState((h_and_c,), fed=ops.convert_to_tensor(no_vector_yet))


def score_of(decoder_file):
    return "additive" if "bahdanau" in decoder_file.stem else "general"


def test_decoder_under_teacher_forcing(decoder_file):
    oracle = np.load(decoder_file)
    decoder, state = decoder_with_weights_of(oracle, score_of(decoder_file))
    memory = ops.convert_to_tensor(oracle["memory"])
    encoded = decoder.encode(memory, prefix_mask(oracle["lengths"], memory.shape[1]))

    found, last = decoder.attention_cell.unroll(decoder.embedding(oracle["inputs"]), state, encoded)

    assert_close(found.vector, oracle["teacher_forced_outputs"])
    assert_close(found.weights, oracle["teacher_forced_weights"])
    assert_close(decoder.head(found), oracle["teacher_forced_logits"])
    for actual, name in zip(last.recurrent[0], ("final_h", "final_c"), strict=True):
        assert_close(actual, oracle[name])


def decode(strategy, oracle, decoder_file):
    decoder, state = decoder_with_weights_of(oracle, score_of(decoder_file))
    memory = ops.convert_to_tensor(oracle["memory"])
    mask = prefix_mask(oracle["lengths"], memory.shape[1])
    encoded = decoder.encode(memory, ops.convert_to_tensor(mask))

    def step(tokens, state):
        logits, found, state = decoder.step(tokens, state, encoded)
        return keras.ops.log_softmax(logits), state, found.weights

    return strategy(
        step,
        state,
        ops.full((len(memory),), int(oracle["start_id"]), dtype="int32"),
        end_id=int(oracle["end_id"]),
        max_length=int(oracle["max_steps"]),
        source_mask=ops.convert_to_tensor(mask),
    )


def test_decoder_greedy(decoder_file):
    oracle = np.load(decoder_file)
    decoded = decode(Greedy(), oracle, decoder_file)

    np.testing.assert_array_equal(decoded.lengths, oracle["greedy_lengths"])
    up_to_the_end = prefix_mask(oracle["greedy_lengths"], int(oracle["max_steps"]))
    np.testing.assert_array_equal(decoded.tokens, oracle["greedy_ids"] * up_to_the_end)


def beam_of(oracle, kind):
    alpha, beta = float(oracle[f"{kind}_alpha"]), float(oracle[f"{kind}_beta"])
    return Beam(int(oracle["beam_width"]), alpha, beta)


def hypotheses(tokens, lengths):
    """The hypotheses of each row, best first, as tuples without the padding after the end."""
    return [
        [tuple(t[:n].tolist()) for t, n in zip(np.array(row), of_row, strict=True)]
        for row, of_row in zip(tokens, np.array(lengths), strict=True)
    ]


def test_beam_search_without_penalties_is_never_worse(decoder_file):
    """Other files may hold searches in which TFA lost a hypothesis, see docs/decisions.md."""
    oracle = np.load(decoder_file)
    decoded = decode(beam_of(oracle, "beam"), oracle, decoder_file)
    scores, expected_scores = np.array(decoded.scores), oracle["beam_log_probs"]
    assert (scores >= expected_scores - 1e-5 * np.abs(expected_scores)).all()
    found = hypotheses(decoded.tokens, decoded.lengths)
    expected = hypotheses(oracle["beam_ids"], oracle["beam_lengths"])
    for row, k in np.ndindex(scores.shape):
        if found[row][k] == expected[row][k]:
            np.testing.assert_allclose(scores[row, k], expected_scores[row, k], rtol=1e-5)
        else:
            assert scores[row, k] > expected_scores[row, k]


def test_beam_search_with_a_length_penalty_is_never_worse(decoder_file):
    """Equal if nothing ends; otherwise TFA loses better finished hypotheses, see docs/decisions.md."""
    oracle = np.load(decoder_file)
    beam = beam_of(oracle, "beam_len")
    decoded = decode(beam, oracle, decoder_file)
    ours = np.array(beam.value(decoded.scores, decoded.lengths))
    theirs = beam.value(oracle["beam_len_log_probs"], oracle["beam_len_lengths"])
    assert (ours >= np.sort(theirs)[:, ::-1] - 1e-4).all()
    expected = hypotheses(oracle["beam_len_ids"], oracle["beam_len_lengths"])
    for found, other in zip(hypotheses(decoded.tokens, decoded.lengths), expected, strict=True):
        ends = {len(tokens) < int(oracle["max_steps"]) for tokens in found + other}
        assert found == other or ends == {False, True}


def test_beam_search_with_a_coverage_penalty_agrees_where_all_is_covered(decoder_file):
    """Unfinished hypotheses of the full length have covered these short sources; the rest is as above."""
    oracle = np.load(decoder_file)
    decoded = decode(beam_of(oracle, "beam_len_cov"), oracle, decoder_file)
    expected = hypotheses(oracle["beam_len_cov_ids"], oracle["beam_len_cov_lengths"])
    for found, other in zip(hypotheses(decoded.tokens, decoded.lengths), expected, strict=True):
        assert found == other or min(map(len, found)) < int(oracle["max_steps"])
