import inspect
import json

import keras
import numpy as np
import pytest

from keras_attention import (
    AdditiveScore,
    AttentionDecoder,
    AttentionDecoderCell,
    Beam,
    Encoder,
    GeneralScore,
    Greedy,
    Sample,
    Seq2Seq,
    TokenCrossentropy,
    shift_right,
)
from keras_attention.layers.heads import DenseHead, PointerHead
from keras_attention.layers.location import LocationScore
from keras_attention.layers.named import NORMALIZERS, SCORES
from keras_attention.layers.stack import RecurrentStack

SOURCE_SIZE, TARGET_SIZE = 11, 13
SOURCE = np.array([[3, 7, 4, 9, 2], [5, 2, 0, 0, 0], [9, 10, 2, 0, 0]])
TARGET = np.array([[4, 12, 2], [11, 5, 2], [3, 2, 0]])


def make_model(input_feeding=False, **options):
    """A small model; its weights are scaled up so that its outputs differ and some of them end."""
    model = Seq2Seq(
        Encoder(SOURCE_SIZE, 5, 6, num_layers=2),
        AttentionDecoder(TARGET_SIZE, 7, 4, input_feeding=input_feeding),
        **options,
    )
    for weight in model.weights:
        weight.assign(weight * 3)
    return model


@pytest.fixture(params=[False, True], ids=["", "input feeding"])
def model(request):
    model = make_model(request.param)
    model.run_eagerly = True  # tracing takes longer than the law
    return model


def test_it_is_a_functional_model_with_named_inputs(model):
    assert isinstance(model, keras.Model)
    assert set(model.input) == {"source", "target"}
    assert model.output.shape == (None, None, TARGET_SIZE)
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"


def test_it_takes_a_list_like_other_keras_models(model):
    named = model({"source": SOURCE, "target": TARGET})
    np.testing.assert_array_equal(model([SOURCE, TARGET]), named)


def test_a_source_of_padding_alone_is_decoded_without_nan(model):
    found = model.generate(np.array([[3, 2], [0, 0]]), max_length=4)
    assert np.isfinite(found.scores).all()
    assert not found.attention[1].any()


def test_generate_equals_greedy_by_hand(model):
    """Greedy by hand: run the whole model on the tokens so far, take the best, append."""
    found = model.generate(SOURCE, max_length=8)
    fed = np.full((len(SOURCE), 1), 2)
    for t in range(8):
        logits = np.array(model({"source": SOURCE, "target": fed}))[:, -1]
        best = logits[:, 1:].argmax(-1) + 1  # padding is not a word
        unfinished = found.lengths > t
        np.testing.assert_array_equal(found.tokens[unfinished, t], best[unfinished])
        fed = np.concatenate([fed, best[:, None]], axis=1)


def test_generated_tokens_end_with_the_end_and_then_are_padding(model):
    tokens, lengths, _, _, attention = model.generate(SOURCE, max_length=40)
    for row, length, weights in zip(tokens, lengths, attention, strict=True):
        assert (row[: length - 1] != 2).all()
        assert (row[:length] != 0).all()
        assert length == 40 or row[length - 1] == 2
        assert not row[length:].any()
        assert not weights[length:].any()


def test_generated_attention_sums_to_one_over_the_real_source(model):
    _, lengths, _, _, attention = model.generate(SOURCE, max_length=9)
    for row, length, source in zip(attention, lengths, SOURCE, strict=True):
        np.testing.assert_allclose(row[:length].sum(-1), 1, rtol=1e-5)
        assert not row[:, source == 0].any()


def test_a_batch_equals_its_rows(model):
    together = model.generate(SOURCE, max_length=9)
    for b, length in enumerate((5, 2, 3)):
        alone = model.generate(SOURCE[b : b + 1, :length], max_length=9)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[b])
        np.testing.assert_allclose(alone.scores[0], together.scores[b], rtol=1e-4)
        np.testing.assert_allclose(alone.attention[0], together.attention[b, :, :length], atol=1e-5)


def test_a_smaller_limit_gives_a_prefix(model):
    longer, shorter = (model.generate(SOURCE, max_length=n) for n in (9, 3))
    np.testing.assert_array_equal(shorter.tokens, longer.tokens[:, :3])


def test_generated_scores_are_the_score_of_the_tokens(model):
    found = model.generate(SOURCE, max_length=9)
    log_probs, token_log_probs = model.score(SOURCE, found.tokens)
    np.testing.assert_allclose(log_probs, found.scores, rtol=1e-4)
    assert not token_log_probs[found.tokens == 0].any()


def test_score_is_the_log_probability_under_teacher_forcing(model):
    log_probs, token_log_probs = model.score(SOURCE, TARGET)
    logits = np.array(model({"source": SOURCE, "target": shift_right(TARGET)}))
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(expected, TARGET[..., None], -1)[..., 0] * (TARGET != 0)
    np.testing.assert_allclose(token_log_probs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_probs, expected.sum(-1), rtol=1e-4)


def test_generate_uses_changed_weights(model):
    before = model.generate(SOURCE, max_length=9).scores
    model.decoder.head.dense.bias.assign(np.arange(TARGET_SIZE))
    assert np.abs(model.generate(SOURCE, max_length=9).scores - before).min() > 0.1


def test_start_and_end_may_be_other_ids():
    model = make_model(start_id=1, end_id=5)
    tokens, lengths, _, _, _ = model.generate(SOURCE, max_length=30)
    assert all(row[length - 1] == 5 or length == 30 for row, length in zip(tokens, lengths, strict=True))
    first = np.array(model({"source": SOURCE, "target": np.ones((3, 1), int)}))[:, 0, 1:].argmax(-1) + 1
    np.testing.assert_array_equal(tokens[:, 0], first)


def test_a_custom_strategy_is_used(model):
    class SecondBest(Greedy):
        def __call__(self, step, states, start_tokens, **options):
            def without_the_best(tokens, states):
                log_probs, states, weights = step(tokens, states)
                best = keras.ops.max(log_probs, axis=-1, keepdims=True)
                return keras.ops.where(log_probs == best, -1e9, log_probs), states, weights

            return super().__call__(without_the_best, states, start_tokens, **options)

    best, second = (model.generate(SOURCE, strategy, 1).scores for strategy in (Greedy(), SecondBest()))
    assert (second < best).all()


class Without(Greedy):
    """Greedy that never writes one word; each word has a graph of its own."""

    def __init__(self, word):
        self.word = word

    def __call__(self, step, states, start_tokens, **options):
        def without_the_word(tokens, states):
            log_probs, states, weights = step(tokens, states)
            is_word = keras.ops.equal(keras.ops.arange(TARGET_SIZE), self.word)
            return keras.ops.where(is_word, -1e9, log_probs), states, weights

        return super().__call__(without_the_word, states, start_tokens, **options)


def test_different_strategies_have_different_graphs():
    model = make_model()
    for word in model.generate(SOURCE, max_length=1).tokens[:, 0]:
        assert word not in model.generate(SOURCE, Without(word), 4).tokens[:, 0]
    assert Without(3) == Without(3) != Without(4) != Greedy() == Greedy()


@pytest.mark.parametrize("strategy", [Greedy, 3])
def test_anything_but_a_strategy_is_refused(strategy):
    with pytest.raises(TypeError, match=r"must be a name or a strategy such as `Greedy\(\)`"):
        make_model().generate(SOURCE, strategy)


@pytest.mark.parametrize(("name", "strategy"), [("greedy", Greedy()), ("beam", Beam(5))])
def test_a_strategy_may_be_named(model, name, strategy):
    named, given = (model.generate(SOURCE, s, 5) for s in (name, strategy))
    np.testing.assert_array_equal(named.tokens, given.tokens)
    with pytest.raises(ValueError, match="must be one of greedy, beam, sample"):
        model.generate(SOURCE, "viterbi")


def test_the_scores_of_tokens_are_those_of_teacher_forcing(model):
    found = model.generate(SOURCE, Beam(3), 6)
    np.testing.assert_allclose(found.token_scores.sum(-1), found.scores, rtol=1e-5)
    best = model.score(SOURCE, found.tokens[:, 0]).token_log_probs
    np.testing.assert_allclose(best, found.token_scores[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "strategy", [Greedy(2, 9), Beam(3, 0.6, 0.2, 2, forbidden_ids=[4]), Sample(0.5, 3, 0.9, seed=1)]
)
def test_strategies_are_saved_and_compared(strategy):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(strategy)))
    assert keras.saving.deserialize_keras_object(config) == strategy != Greedy()


def test_a_different_number_of_rows_is_refused(model):
    with pytest.raises(ValueError, match="one row for each pair"):
        model({"source": SOURCE, "target": TARGET[:1]})


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        ([[3, -1, 2]], ValueError, r"ids from 0 to 10. Received: source\[0, 1\]=-1"),
        ([[3, 11, 2]], ValueError, r"ids from 0 to 10. Received: source\[0, 1\]=11"),
        ([[3.0, 2.0]], TypeError, "must hold integer token ids"),
        ([["a"]], TypeError, "must hold integer token ids"),
        ([3, 2], ValueError, r"must have the shape \(batch, length\)"),
        ([[3, 2], [4]], ValueError, "one array"),
        (np.zeros((0, 4), int), ValueError, "at least one row and one column"),
        (np.zeros((2, 0), int), ValueError, "at least one row and one column"),
    ],
)
def test_bad_sources_are_refused_and_the_next_one_is_decoded(source, error, reason):
    model = make_model()
    with pytest.raises(error, match=reason):
        model.generate(source, max_length=3)
    with pytest.raises(error, match=reason):
        model.score(source, TARGET[:1])
    assert model.generate(SOURCE, max_length=3).tokens.shape == (3, 3)


@pytest.mark.parametrize(
    ("part", "value", "error", "reason"),
    [
        ("source", 11, ValueError, "`source` must hold ids from 0 to 10"),
        ("source", -1, ValueError, "`source` must hold ids from 0 to 10"),
        ("target", 13, ValueError, "`target` must hold ids from 0 to 12"),
        ("target", -1, ValueError, "`target` must hold ids from 0 to 12"),
        ("source", 3.5, TypeError, "`source` must hold integer token ids"),
        ("target", 3.5, TypeError, "`target` must hold integer token ids"),
    ],
)
def test_an_eager_call_refuses_bad_ids(part, value, error, reason):
    model = make_model()
    inputs = {"source": SOURCE, "target": TARGET}
    with pytest.raises(error, match=reason):
        model({**inputs, part: np.full_like(inputs[part], value, dtype=np.asarray(value).dtype)})
    assert model(inputs).shape == (3, 3, TARGET_SIZE)


def test_an_eager_call_checks_its_ids_once(monkeypatch):
    seen = []

    def counted(tokens):
        seen.append(tokens.shape)
        return np.asarray(tokens)

    model = make_model()
    monkeypatch.setattr("keras_attention.checks._values", counted)
    model({"source": SOURCE, "target": TARGET})
    assert seen == [SOURCE.shape, TARGET.shape]
    with pytest.raises(ValueError, match="`tokens` must hold ids"):  # a layer alone still does
        model.encoder(SOURCE - 9)


@pytest.mark.parametrize("max_length", [0, -1, 2.5, "many", True])
def test_wrong_limits_are_refused(max_length):
    with pytest.raises((TypeError, ValueError), match="`max_length` must be an integer"):
        make_model().generate(SOURCE, max_length=max_length)


def test_score_refuses_a_different_number_of_targets():
    with pytest.raises(ValueError, match="one row for each pair"):
        make_model().score(SOURCE, TARGET[:2])


@pytest.mark.parametrize("options", [{"start_id": 13}, {"end_id": 0}, {"end_id": "the"}])
def test_ids_outside_the_vocabulary_are_refused(options):
    with pytest.raises((TypeError, ValueError), match=r"`(start|end)_id` must be"):
        make_model(**options)


def test_parts_of_another_type_are_refused():
    encoder, decoder = Encoder(11, 5, 6), AttentionDecoder(13, 7, 4)
    with pytest.raises(TypeError, match=r"`encoder` must be a keras_attention.Encoder"):
        Seq2Seq(decoder, decoder)
    with pytest.raises(TypeError, match=r"`decoder` must be a keras_attention.AttentionDecoder"):
        Seq2Seq(encoder, encoder)


SCORE_CLASSES = [*SCORES.values()]


@pytest.mark.parametrize(
    "layer",
    [
        Encoder(11, 5, 6, "gru", 2, False, 0.25),
        AttentionDecoderCell(4, "gru", 2, "concat", 3, True, False, 0.25),
        AttentionDecoder(13, 7, 4, "gru", 2, "concat", False, input_feeding=True, dropout=0.25),
        RecurrentStack(4, "gru", 2, True, 0.25),
        DenseHead(13, "zeros"),
        PointerHead(13, [0, 3, 12]),
        GeneralScore(4, use_scale=True),
        AdditiveScore(4, normalize=True),
        LocationScore(4, filters=3, kernel_size=5),
        *(normalizer() for normalizer in NORMALIZERS.values()),
        TokenCrossentropy(0.25),
        *(score_class(None if "Dot" in score_class.__name__ else 3) for score_class in SCORE_CLASSES),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_configuration_holds_every_argument_of_the_constructor(layer):
    config = layer.get_config()
    names = set(inspect.signature(type(layer)).parameters) - {"args", "kwargs", "options"}
    assert names <= set(config)
    assert type(layer).from_config(config).get_config() == config
    assert all(hasattr(layer, name) for name in set(config) - {"fn"})


@pytest.mark.parametrize(
    "options",
    [{}, {"cell": "gru", "score": "additive"}, {"num_layers": 2, "input_feeding": True}, {"bridge": False}],
)
def test_a_beam_scores_as_teacher_forcing_does_and_beam_one_is_greedy(options):
    model = Seq2Seq(Encoder(SOURCE_SIZE, 5, 6), AttentionDecoder(TARGET_SIZE, 7, 4, **options))
    found = model.generate(SOURCE, Beam(4, length_penalty=0.6), max_length=8)
    tokens, lengths, scores, token_scores, attention = found
    np.testing.assert_allclose(token_scores.sum(-1), scores, rtol=1e-5)
    assert tokens.shape == (3, 4, 8)
    assert attention.shape == (3, 4, 8, SOURCE.shape[1])
    for k in range(4):  # each equals teacher forcing
        np.testing.assert_allclose(model.score(SOURCE, tokens[:, k])[0], scores[:, k], rtol=1e-4)
    np.testing.assert_array_equal((tokens != 0).sum(-1), lengths)
    np.testing.assert_allclose(attention.sum(-1), tokens != 0, atol=1e-5)
    one, greedy = (model.generate(SOURCE, strategy, 8) for strategy in (Beam(1), Greedy()))
    np.testing.assert_array_equal(one.tokens[:, 0], greedy.tokens)
    np.testing.assert_allclose(one.attention[:, 0], greedy.attention, atol=1e-5)


def test_samples_are_new_each_time_unless_they_have_a_seed(model):
    def draw(seed):
        return model.generate(SOURCE, Sample(seed=seed), 20).tokens.tolist()

    assert draw(1) == draw(1) != draw(2)
    assert draw(None) != draw(None)


def test_scores_of_samples_are_those_of_the_model(model):
    found = model.generate(SOURCE, Sample(temperature=2.0, top_k=5, seed=0), 9)
    np.testing.assert_allclose(model.score(SOURCE, found.tokens)[0], found.scores, rtol=1e-4)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(3), Sample(seed=0)])
def test_the_answer_begins_with_the_prefix(model, strategy):
    prefix = np.array([[3, 4, 5], [6, 0, 0], [0, 0, 0]])
    tokens = model.generate(SOURCE, strategy, 9, prefix=prefix).tokens
    assert (np.where(prefix == 0, 0, tokens.reshape(3, -1, 9)[:, 0, :3]) == prefix).all()
    free = model.generate(SOURCE, strategy, 9).tokens
    np.testing.assert_array_equal(tokens[2], free[2])


@pytest.mark.parametrize("prefix", [[[3]], [[3] * 10] * 3, [[99]] * 3])
def test_an_invalid_prefix_is_refused(model, prefix):
    with pytest.raises(ValueError, match="`prefix`"):
        model.generate(SOURCE, max_length=9, prefix=prefix)


def test_a_strategy_may_have_its_own_maximum_length(model):
    assert model.generate(SOURCE, Greedy(max_length=2)).tokens.shape == (3, 2)
    assert model.generate(SOURCE, Greedy(max_length=9), max_length=2).tokens.shape == (3, 2)
    assert model.generate(SOURCE, Beam(2, max_length=2), max_length=9).tokens.shape == (3, 2, 2)
    assert model.generate(SOURCE).tokens.shape == (3, 128)


def test_a_strategy_must_be_hashable(model):
    strategy = Greedy()
    strategy.favourites = [3, 4]
    with pytest.raises(TypeError, match=r"must be hashable.*Greedy with .*favourites"):
        model.generate(SOURCE, strategy)


def test_forbidden_ids_are_checked_before_a_graph_is_made(model):
    with pytest.raises(ValueError, match=r"^`forbidden_ids` must be below the vocabulary size"):
        model.generate(SOURCE, Beam(2, forbidden_ids=[10**6]))


def test_sampling_does_not_depend_on_the_global_precision(model):
    found = model.generate(SOURCE, Sample(seed=1), 9)
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model._compiled.cache_clear()
        np.testing.assert_array_equal(model.generate(SOURCE, Sample(seed=1), 9).tokens, found.tokens)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(3), Beam(3, 0.6, 0.2)], ids=str)
def test_rows_that_have_finished_are_left_out_of_the_steps(strategy):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs shapes that depend on the data")
    model, source = make_model(), np.repeat(SOURCE, 5, axis=0)
    model.decoder.head.dense.bias.assign(np.eye(TARGET_SIZE)[2])  # so that some rows end early
    rows = []
    decode_step = model.decode_step

    def counted(tokens, states, encoded):
        rows.append(int(tokens.shape[0]))
        return decode_step(tokens, states, encoded)

    model.decode_step = counted
    found = {}
    for skip in (False, True):
        rows.clear()
        found[skip] = model.decode(source, strategy, 12, in_place=skip)
        assert rows[0] == len(source)
        assert (rows[-1] < rows[0]) == skip
    for all_rows, unfinished in zip(found[False], found[True], strict=True):
        np.testing.assert_allclose(unfinished, all_rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(14), Sample(seed=1)], ids=str)
def test_a_compiled_batch_equals_its_rows(model, strategy):
    prefix = np.array([[4, 2], [5, 3], [0, 0]])  # which ends the first row
    model.run_eagerly = False
    together = model.generate(SOURCE, strategy, 8, prefix)
    model.run_eagerly = True
    for row in range(1 if isinstance(strategy, Sample) else 3):  # noise is drawn for the rows in order
        alone = model.generate(SOURCE[row : row + 1], strategy, 8, prefix[row : row + 1])
        for one, all_rows in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-5, atol=1e-5)
