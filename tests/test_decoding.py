"""Strategies over a scripted step, so that the expected results can be read."""

import numpy as np
import pytest
from keras import ops

from keras_attention import Greedy, Sample, Strategy

WORDS = ["<pad>", "<unk>", "<end>", "the", "red", "cat", "sat"]
END = WORDS.index("<end>")
SURE, UNSURE = np.log(0.7), np.log(0.05)  # six others share the rest


def script(*rows):
    """A step whose n-th call gives the n-th word of each row the probability 0.7.

    Its state counts the calls; the n-th call attends to the n-th source position.
    """
    words = [row.split() for row in rows]
    longest = max(map(len, words))
    ids = np.array(
        [[WORDS.index(word) for word in row + ["<pad>"] * (longest - len(row))] for row in words]
    )
    table = np.where(np.arange(len(WORDS)) == ids[..., None], SURE, UNSURE).astype("float32")

    def step(tokens, count):
        at = ops.minimum(count[0, 0], longest - 1)
        log_probs = ops.take(ops.convert_to_tensor(table), at, axis=1)
        return log_probs, count + 1, ops.one_hot(count[:, 0], 4)

    return step


def run(step, rows, max_length=6, strategy=None, **options):
    strategy = strategy or Greedy()
    options.setdefault("noise", strategy.noise(rows, max_length))
    return strategy(
        step,
        ops.zeros((rows, 1), dtype="int32"),
        ops.full((rows,), END, dtype="int32"),
        end_id=END,
        max_length=max_length,
        source_mask=ops.ones((rows, 4), dtype="bool"),
        **options,
    )


def decode(*rows, **options):
    return [np.array(part) for part in run(script(*rows), len(rows), **options)]


def said(tokens):
    return [" ".join(WORDS[token] for token in row if token) for row in tokens]


def test_greedy_chooses_the_likeliest_words_up_to_the_end():
    tokens, lengths, _, _, _ = decode("the red cat sat <end> the the", "cat <end> the red cat sat sat")
    assert said(tokens) == ["the red cat sat <end>", "cat <end>"]
    assert lengths.tolist() == [5, 2]


def test_score_is_the_summed_log_probability_including_the_end():
    _, lengths, scores, _, _ = decode("the red cat sat <end>", "cat <end>")
    np.testing.assert_allclose(scores, SURE * lengths, rtol=1e-6)


def test_attention_is_that_of_each_step_and_zero_after_the_end():
    _, _, _, _, attention = decode("the red cat <end>", "cat <end>")
    np.testing.assert_array_equal(attention[0, :4], np.eye(4))
    np.testing.assert_array_equal(attention[1, :2], np.eye(4)[:2])
    assert not attention[0, 4:].any()
    assert not attention[1, 2:].any()


def test_it_stops_at_the_limit_without_an_end():
    tokens, lengths, scores, _, _ = decode("the the the the the the the the", max_length=3)
    assert said(tokens) == ["the the the"]
    assert lengths.tolist() == [3]
    np.testing.assert_allclose(scores, 3 * SURE, rtol=1e-6)


def test_it_stops_calling_once_all_have_ended():
    calls = []
    scripted = script("the <end>", "<end>")

    def step(tokens, count):
        calls.append(np.array(tokens).tolist())
        return scripted(tokens, count)

    run(step, 2, max_length=50)
    assert calls == [[END, END], [WORDS.index("the"), 0]]  # padding for the row that has ended


def test_the_smaller_id_wins_a_tie():
    def step(tokens, states):
        return ops.zeros((1, 5)), states, ops.zeros((1, 1))

    tokens, *_ = Greedy()(
        step,
        ops.zeros((1, 1)),
        ops.ones((1,), "int32"),
        end_id=2,
        max_length=1,
        source_mask=ops.ones((1, 1), "bool"),
    )
    assert int(tokens[0, 0]) == 0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_loop_gives_the_same(jit_compile):
    import tensorflow as tf

    rows = ("the red cat sat <end>", "cat <end>")
    compiled = tf.function(lambda: run(script(*rows), len(rows)), jit_compile=jit_compile)
    for actual, expected in zip(compiled(), decode(*rows), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def always(probs):
    """A step with the same probabilities at every call, for any number of rows."""

    def step(tokens, states):
        rows = ops.zeros_like(ops.expand_dims(tokens, -1), "float32")
        return rows + ops.log(ops.convert_to_tensor(probs, "float32")), states, rows

    return step


def ids_of(text):
    return [WORDS.index(word) for word in text.split()]


@pytest.mark.parametrize("strategy", [Greedy(min_length=4), Sample(top_k=1, min_length=4)])
def test_no_end_before_the_minimum_length(strategy):
    tokens, lengths, scores, _, _ = decode("the <end> <end> <end> <end>", strategy=strategy)
    assert said(tokens)[0].startswith("the") and said(tokens)[0].endswith("<end>")
    assert lengths.tolist() == [4]
    np.testing.assert_allclose(scores, 2 * SURE + 2 * UNSURE, rtol=1e-6)


def test_the_smaller_of_two_maximum_lengths_applies():
    assert [Greedy(max_length=m).longest(n) for m, n in ((3, 5), (5, 3), (None, 3), (3, None))] == [3] * 4
    with pytest.raises(ValueError, match=r"`min_length` must not be above `max_length`.*min_length=4"):
        Greedy(min_length=4).longest(3)


def test_forbidden_words_do_not_occur():
    tokens, *_ = decode("the red cat <end>", strategy=Greedy(forbidden_ids=ids_of("red <pad> <unk>")))
    assert said(tokens) == ["the <end> cat <end>"] or said(tokens) == ["the <end>"]


def test_an_id_outside_the_vocabulary_cannot_be_forbidden():
    with pytest.raises(ValueError, match=r"`forbidden_ids` must be below the vocabulary size 7"):
        decode("the", strategy=Greedy(forbidden_ids=[7]))


def test_the_end_follows_if_the_limits_leave_nothing_else():
    others = [i for i in range(len(WORDS)) if i != END]
    limits = {"forbidden_ids": others, "min_length": 3}
    tokens, _, scores, _, _ = decode("the red", strategy=Greedy(**limits))
    assert said(tokens) == ["<end>"]
    np.testing.assert_allclose(scores, UNSURE, rtol=1e-6)


@pytest.mark.parametrize(
    "size, expected",
    [
        (0, "the the the the the the"),
        (1, "the red cat sat <pad> <unk>"),
        (2, "the the red the cat the"),
        (3, "the the the red the the"),
    ],
)
def test_no_ngram_occurs_twice(size, expected):
    # Probabilities: the > red > cat > sat > <pad> > <unk> > <end>.
    step = always([0.05, 0.04, 0.01, 0.4, 0.3, 0.12, 0.08])
    decoded = run(step, 2, strategy=Greedy(no_repeat_ngram_size=size), max_length=6)
    assert np.array(decoded.tokens).tolist() == [ids_of(expected)] * 2


def test_each_row_has_its_own_ngrams():
    rows = ("the the the the <end>", "red the red the <end>")
    tokens, *_ = decode(*rows, strategy=Greedy(no_repeat_ngram_size=3, forbidden_ids=[0, 1]))
    assert said(tokens)[0].startswith("the the the <end>") or said(tokens)[0].split()[3] != "the"
    assert said(tokens)[1] == "red the red the <end>"


def test_a_prefix_is_completed_and_scored():
    script_of = "the red cat <end>"
    prefix = np.zeros((2, 6), "int32")
    prefix[0, :2] = ids_of("the cat")
    tokens, _, scores, _, _ = decode(script_of, script_of, prefix=ops.convert_to_tensor(prefix))
    assert said(tokens) == ["the cat cat <end>", "the red cat <end>"]
    np.testing.assert_allclose(scores, [3 * SURE + UNSURE, 4 * SURE], rtol=1e-6)


def test_a_prefix_overrides_the_limits():
    limits = {"forbidden_ids": ids_of("cat"), "no_repeat_ngram_size": 1, "min_length": 6}
    prefix = ops.convert_to_tensor([[*ids_of("cat cat <end>"), 0, 0, 0]])
    tokens, *_ = decode("the red cat", strategy=Greedy(**limits), prefix=prefix)
    assert said(tokens) == ["cat cat <end>"]


def test_a_custom_strategy_needs_one_method():
    class Second(Strategy):
        def choose(self, log_probs, noise):
            return ops.top_k(log_probs, 2)[1][:, 1]

    decoded = run(always([0.01, 0.09, 0.2, 0.4, 0.3, 0.0, 0.0]), 1, strategy=Second(), max_length=3)
    assert said(np.array(decoded.tokens)) == ["red red red"]


PROBS = np.array([0.0, 0.05, 0.1, 0.2, 0.25, 0.15, 0.25])


def frequencies(draws=100_000, **options):
    strategy = Sample(seed=3, **options)
    noise = ops.convert_to_tensor(strategy.noise(draws, 1))
    tokens = run(always(PROBS), draws, strategy=strategy, max_length=1, noise=noise).tokens
    return np.bincount(np.array(tokens)[:, 0], minlength=len(PROBS)) / draws


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, PROBS),
        ({"temperature": 0.5}, PROBS**2),
        ({"top_k": 3}, np.where(PROBS >= 0.2, PROBS, 0)),
        ({"top_k": 99}, PROBS),
        ({"top_p": 0.69}, np.where(PROBS >= 0.2, PROBS, 0)),
        ({"top_p": 0.71}, np.where(PROBS >= 0.15, PROBS, 0)),
        ({"top_k": 4, "top_p": 0.5, "temperature": 2.0}, np.where(PROBS >= 0.25, 1.0, 0)),
        ({"forbidden_ids": [4, 6]}, np.where(PROBS == 0.25, 0, PROBS)),
    ],
)
def test_frequencies_of_100_000_draws_match_the_distribution(options, expected):
    expected = expected / expected.sum()
    found = frequencies(**options)
    assert not found[expected == 0].any()
    # Five standard deviations of a share of 100,000 draws.
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / 100_000)).all()


def test_the_largest_noise_draws_the_last_possible_token():
    noise = ops.full((1, 1), np.nextafter(np.float32(1), np.float32(0)))
    decoded = run(
        always([0.2, 0.3, 0.0, 0.5, 0.0, 0.0, 0.0]), 1, strategy=Sample(), max_length=1, noise=noise
    )
    assert int(decoded.tokens[0, 0]) == 3


def test_seeds_repeat_and_no_seed_does_not():
    draw = {seed: [Sample(seed=seed).noise(2, 3).tolist() for _ in range(2)] for seed in (1, 2, None)}
    assert draw[1][0] == draw[1][1] != draw[2][0] == draw[2][1]
    assert draw[None][0] != draw[None][1]


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: Sample(temperature=0),
            "`temperature` must be from 0.001 to 1000. Received: temperature=0",
        ),
        (lambda: Sample(top_p=1.5), "`top_p` must be from 1e-06 to 1. Received: top_p=1.5"),
        (lambda: Sample(top_k=0), "`top_k` must be an integer >= 1. Received: top_k=0"),
        (lambda: Sample(seed=-1), "`seed` must be an integer >= 0"),
        (lambda: Greedy(min_length=3, max_length=2), "`min_length` must not be above `max_length`"),
        (lambda: Greedy(forbidden_ids=[-1]), "`forbidden_ids` must be an integer >= 0"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_forbidden_ids_must_be_a_collection():
    with pytest.raises(
        TypeError, match="`forbidden_ids` must be an iterable of ids\\. Received: forbidden_ids=3"
    ):
        Greedy(forbidden_ids=3)


def test_a_generator_continues_its_draws():
    one = Sample(seed=np.random.default_rng(4))
    parts = [one.noise(2, 3), one.noise(3, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), Sample(seed=4).noise(5, 3))


def test_seeds_need_no_new_graph():
    assert Sample(seed=1).for_graph() == Sample(seed=2).for_graph() == Sample()


def test_equal_strategies_are_equal():
    assert Greedy(forbidden_ids=[4, 3, 4]) == Greedy(forbidden_ids=(3, 4))
    assert len({Sample(seed=1), Sample(seed=1), Sample(seed=2), Greedy(), Strategy()}) == 4
