"""Beam search over steps that read as words, and over random steps that can be searched exhaustively."""

import itertools
import warnings

import numpy as np
import pytest
from keras import ops

from keras_attention import AttentionDecoder, Beam, Encoder, Greedy, Seq2Seq
from keras_attention.decoding.search import Search

END = 2


class RandomModels:
    """A random recurrent step whose rows start from different states, so that each row is its own model.

    The token 0 never occurs, as in a `Seq2Seq`.
    """

    def __init__(self, rows, vocabulary_size=4, depth=5, source_length=3, seed=0):
        draw = np.random.default_rng(seed).normal
        self.states = draw(size=(rows, depth)).astype("float32")
        self.of_token = draw(size=(vocabulary_size, depth)).astype("float32")
        self.recurrent = draw(size=(depth, depth)).astype("float32")
        self.head = draw(size=(depth, vocabulary_size)).astype("float32")
        self.head[:, 0] = 0
        self.look = draw(size=(depth, source_length)).astype("float32")
        self.mask = np.arange(source_length) < 1 + np.arange(rows)[:, None] % source_length
        self.never = np.where(np.arange(vocabulary_size) == 0, -np.inf, 0).astype("float32")

    def step(self, tokens, states):
        states = ops.tanh(ops.take(self.of_token, tokens, axis=0) + ops.matmul(states, self.recurrent))
        mask = self.mask if len(states.shape) == 2 else self.mask[:, None]
        weights = ops.softmax(ops.where(mask, ops.matmul(states, self.look), -1e9))
        return ops.log_softmax(ops.matmul(states, self.head) + self.never), states, weights

    def decode(self, strategy, max_length):
        decoded = strategy(
            self.step,
            ops.convert_to_tensor(self.states),
            ops.full((len(self.states),), END, dtype="int32"),
            end_id=END,
            max_length=max_length,
            source_mask=ops.convert_to_tensor(self.mask),
        )
        return [np.array(field) for field in decoded]

    def hypotheses(self, row, max_length):
        """(tokens, log-probability, coverage) of all hypotheses: every word is tried at every step."""
        words = [i for i in range(1, len(self.of_token)) if i != END]
        finished, unfinished = [], [((), 0.0, 0.0, self.states[row : row + 1])]
        mask = self.mask
        self.mask = mask[row : row + 1]
        for _ in range(max_length):
            longer = []
            for tokens, score, coverage, states in unfinished:
                log_probs, states, weights = self.step(np.array([tokens[-1] if tokens else END]), states)
                log_probs, covered = np.array(log_probs)[0], coverage + np.array(weights)[0]
                finished.append(((*tokens, END), score + log_probs[END], covered))
                longer += [((*tokens, w), score + log_probs[w], covered, states) for w in words]
            unfinished = longer
        self.mask = mask
        return finished + [hypothesis[:3] for hypothesis in unfinished]


def value(score, length, coverage, mask, length_penalty, coverage_penalty):
    """Equation 14 of Wu et al. (2016), or the average, in NumPy."""
    penalty = length if length_penalty == "average" else ((5 + length) / 6) ** length_penalty
    return score / penalty + coverage_penalty * np.log(np.minimum(coverage[mask], 1)).sum()


PENALTIES = [(0.0, 0.0), (0.8, 0.0), ("average", 0.0), (0.0, 0.4), (0.6, 0.3), ("average", 0.2)]


@pytest.mark.parametrize("length_penalty, coverage_penalty", PENALTIES)
def test_a_beam_as_wide_as_the_tree_equals_brute_force(length_penalty, coverage_penalty):
    models, max_length = RandomModels(rows=30), 4
    width = 2**max_length + sum(2**n for n in range(max_length))  # all hypotheses
    beam = Beam(width, length_penalty, coverage_penalty)
    tokens, lengths, scores, _, _ = models.decode(beam, max_length)
    for row in range(30):
        expected = [
            (
                value(score, len(said), coverage, models.mask[row], length_penalty, coverage_penalty),
                said,
                score,
            )
            for said, score, coverage in models.hypotheses(row, max_length)
        ]
        expected.sort(key=lambda hypothesis: -hypothesis[0])
        assert len(expected) == width
        found = [tuple(t[:n].tolist()) for t, n in zip(tokens[row], lengths[row], strict=True)]
        assert found == [said for _, said, _ in expected]
        np.testing.assert_allclose(scores[row], [score for *_, score in expected], rtol=1e-5)


def test_attention_follows_its_hypothesis():
    models = RandomModels(rows=20)
    tokens, lengths, _, _, attention = models.decode(Beam(4), 6)
    for k, row in itertools.product(range(4), range(20)):
        states, previous, mask = models.states[row : row + 1], END, models.mask
        models.mask = mask[row : row + 1]
        for t, token in enumerate(tokens[row, k, : lengths[row, k]]):
            _, states, weights = models.step(np.array([previous]), states)
            np.testing.assert_allclose(attention[row, k, t], weights[0], atol=1e-6)
            previous = token
        models.mask = mask
        assert not attention[row, k, lengths[row, k] :].any()
        assert not tokens[row, k, lengths[row, k] :].any()


@pytest.mark.parametrize("length_penalty, coverage_penalty", PENALTIES)
def test_a_width_of_one_is_greedy(length_penalty, coverage_penalty):
    models = RandomModels(rows=300, vocabulary_size=11)
    one = models.decode(Beam(1, length_penalty, coverage_penalty), 13)
    for of_beam, of_greedy in zip(one, models.decode(Greedy(), 13), strict=True):
        np.testing.assert_allclose(of_beam[:, 0], of_greedy, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length_penalty, coverage_penalty", PENALTIES)
def test_no_finished_hypothesis_is_lost(length_penalty, coverage_penalty, monkeypatch):
    """A wider beam may prune what greedy finds, but it must not lose a finished hypothesis."""
    seen, remember = [], Search._remember

    def watched(search, found, places, which):
        values = search._values(places.log_probs, places.lengths, places.coverage)
        seen.append(np.where(which, values, -np.inf).max(axis=1))
        return remember(search, found, places, which)

    monkeypatch.setattr(Search, "_remember", watched)
    models, beam = RandomModels(rows=1000, vocabulary_size=11), Beam(3, length_penalty, coverage_penalty)
    _, lengths, scores, _, attention = models.decode(beam, 9)
    best = beam.value(scores[:, 0], lengths[:, 0], attention[:, 0].sum(axis=1), models.mask)
    np.testing.assert_allclose(best, np.max(seen, axis=0), rtol=1e-5)
    if not (length_penalty or coverage_penalty):
        below_greedy = np.mean(scores[:, 0] < models.decode(Greedy(), 9)[2] - 1e-5)
        assert below_greedy < 0.02


def test_a_search_that_stops_early_finds_the_same():
    models = RandomModels(rows=200, vocabulary_size=7, seed=1)
    for options in ({}, {"length_penalty": 0.7}, {"coverage_penalty": 0.2}):
        all_found = models.decode(Beam(5, **options), 8)
        best_alone = models.decode(Beam(5, n_best=1, **options), 8)
        for every, best in zip(all_found, best_alone, strict=True):
            np.testing.assert_allclose(every[:, :1], best, rtol=1e-5, atol=1e-6)


def test_a_batch_equals_its_rows():
    models = RandomModels(rows=3, vocabulary_size=7)
    together = models.decode(Beam(4, 0.6, 0.2), 9)
    states, mask = models.states, models.mask
    for row in range(3):
        models.states, models.mask = states[row : row + 1], mask[row : row + 1]
        for one, all_rows in zip(models.decode(Beam(4, 0.6, 0.2), 9), together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-5, atol=1e-6)


WORDS = ["<pad>", "<unk>", "<end>", "a", "the", "cat", "dog", "barks", "sleeps"]


def tree(said):
    """A step for one source; `said` has the probabilities after each beginning, and all others end."""
    beginnings = list(said)

    def step(tokens, at):
        places, table = np.array(at)[0, :, 0], np.full((1, at.shape[1], len(WORDS)), -np.inf, "float32")
        after = np.zeros(at.shape, "int32")
        for k, (place, token) in enumerate(zip(places, np.array(tokens)[0], strict=True)):
            here = beginnings[place] if place >= 0 else None
            if place >= 0 and token != END:
                here = f"{here} {WORDS[token]}".strip()
            after[0, k] = beginnings.index(here) if here in said else -1
            for word, prob in said.get(here, {"<end>": 1.0}).items():
                table[0, k, WORDS.index(word)] = np.log(prob)
        return ops.convert_to_tensor(table), ops.convert_to_tensor(after), ops.ones((1, at.shape[1], 1))

    return step


def say(said, beam, max_length=6, **options):
    decoded = beam(
        tree(said),
        ops.zeros((1, 1), "int32"),
        ops.full((1,), END, dtype="int32"),
        end_id=END,
        max_length=max_length,
        source_mask=ops.ones((1, 1), "bool"),
        **options,
    )
    texts = [" ".join(WORDS[token] for token in row if token) for row in np.array(decoded.tokens)[0]]
    probs = [round(float(np.exp(score)), 4) for score in np.array(decoded.scores)[0]]
    return dict(zip(texts, probs, strict=True))


GARDEN_PATH = {
    "": {"a": 0.6, "the": 0.4},
    "a": {"cat": 0.3, "dog": 0.3, "barks": 0.2, "sleeps": 0.2},
    "the": {"dog": 0.9, "cat": 0.1},
}


def test_a_beam_finds_what_greedy_misses():
    assert say(GARDEN_PATH, Beam(1)) == {"a cat <end>": 0.18}
    assert say(GARDEN_PATH, Beam(2)) == {"the dog <end>": 0.36, "a cat <end>": 0.18}


def test_fewer_hypotheses_than_asked_for():
    found = say({"": {"a": 0.5, "the": 0.5}}, Beam(4))
    assert found == {"a <end>": 0.5, "the <end>": 0.5, "": 0.0}


def test_a_finished_hypothesis_keeps_its_log_probability_and_its_place():
    said = {
        "": {"<end>": 0.5, "a": 0.5},
        "a": {"cat": 0.9, "dog": 0.1},
        "a cat": {"sleeps": 0.9, "barks": 0.1},
    }
    assert say(said, Beam(2)) == {"<end>": 0.5, "a cat sleeps <end>": 0.405}


def test_a_finished_hypothesis_that_lost_its_place_comes_back():
    many = dict.fromkeys(("barks", "sleeps", "the", "a"), 0.25)
    said = {
        "": {"a": 0.7, "<end>": 0.3},
        "a": {"cat": 0.5, "dog": 0.5},  # 0.35 each: both are above the finished one for a while
        "a cat": many,
        "a dog": many,
    }
    assert next(iter(say(said, Beam(2)))) == "<end>"


def test_the_length_penalty_prefers_longer_hypotheses():
    said = {"": {"<end>": 0.5, "a": 0.5}, "a": {"cat": 0.8, "dog": 0.2}}
    assert next(iter(say(said, Beam(3)))) == "<end>"
    assert next(iter(say(said, Beam(3, length_penalty=1.0)))) == "a cat <end>"
    assert next(iter(say(said, Beam(3, length_penalty="average")))) == "a cat <end>"


def test_unfinished_hypotheses_count_at_the_limit():
    assert say(GARDEN_PATH, Beam(2), max_length=1) == {"a": 0.6, "the": 0.4}


def test_limits_hold_for_every_hypothesis():
    assert say(GARDEN_PATH, Beam(2, forbidden_ids=[WORDS.index("dog")])) == {
        "a cat <end>": 0.18,
        "a barks <end>": 0.12,
    }
    loop = {
        word: {"a": 0.6, "cat": 0.3, "<end>": 0.1} for word in ("", "a", "a a", "a cat", "cat", "cat a")
    }
    once = say(loop, Beam(3, no_repeat_ngram_size=1), max_length=4)
    assert all(len(set(text.split())) == len(text.split()) for text in once)
    least = say({"": {"<end>": 0.9, "a": 0.1}, "a": {"<end>": 0.9, "cat": 0.1}}, Beam(3, min_length=3))
    assert next(iter(least)) == "a cat <end>"


def test_a_prefix_is_completed():
    prefix = ops.convert_to_tensor([[WORDS.index("the"), 0, 0, 0, 0, 0]])
    assert say(GARDEN_PATH, Beam(2), prefix=prefix) == {"the dog <end>": 0.36, "the cat <end>": 0.04}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"length_penalty": 0.6, "coverage_penalty": 0.2, "no_repeat_ngram_size": 2}]
)
def test_a_compiled_search_finds_the_same(jit_compile, options):
    import tensorflow as tf

    models = RandomModels(rows=5, vocabulary_size=7)
    eager = models.decode(Beam(3, **options), 7)

    def decode(states, start):
        return Beam(3, **options)(
            models.step,
            states,
            start,
            end_id=END,
            max_length=7,
            source_mask=ops.convert_to_tensor(models.mask),
        )

    compiled = tf.function(decode, jit_compile=jit_compile)
    found = compiled(tf.constant(models.states), tf.fill((5,), END))
    for actual, expected in zip(found, eager, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 0}, "`width` must be an integer >= 1"),
        ({"width": 2, "n_best": 3}, "`n_best` must be at most `width`. Received: n_best=3, width=2"),
        ({"width": 2, "length_penalty": -1}, "`length_penalty` must be from 0 to 10"),
        ({"width": 2, "coverage_penalty": float("nan")}, "`coverage_penalty` must be from 0 to 10"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Beam(**options)


def test_lite_rt_expresses_limits_and_penalties_with_its_own_operators():
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    strategy = Beam(4, 0.6, 0.2, no_repeat_ngram_size=2, min_length=3, forbidden_ids=(4,))
    model = Seq2Seq(Encoder(11, 3, 6), AttentionDecoder(13, 5, 4))
    source = np.array([[3, 9, 5, 7, 2]], "int32")
    live = model.generate(source, strategy, 7)
    decode = tf.function(
        lambda source: model.decode(source, strategy, 7)._asdict(),
        input_signature=[tf.TensorSpec((1, None), tf.int32)],
        autograph=False,
    )
    frozen = convert_variables_to_constants_v2(decode.get_concrete_function(), lower_control_flow=False)
    content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the interpreter's move to LiteRT
        interpreter = tf.lite.Interpreter(model_content=content)
    where = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(where, source.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(where, source)
    interpreter.invoke()
    found = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    for expected in live:
        assert any(x.shape == expected.shape and np.allclose(x, expected, atol=1e-5) for x in found)
    assert not [name for name in (op["op_name"] for op in interpreter._get_ops_details()) if "Flex" in name]
