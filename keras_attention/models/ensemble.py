"""Ensemble: several models that decode as one."""

import functools

import keras
from keras import ops

from keras_attention.checks import check_between, check_choice, values_checked
from keras_attention.choices import AVERAGES
from keras_attention.layers.configured import deserialized
from keras_attention.layers.states import Encoded
from keras_attention.models.generation import Generates, Scored
from keras_attention.models.seq2seq import token_scores
from keras_attention.sources import as_source
from keras_attention.tokens import PADDING_ID, shift_right

LEAST_LOGIT = -1e30
DIRECTIONS = {False: "left to right", True: "right to left"}


@keras.saving.register_keras_serializable("keras_attention")
class Ensemble(Generates, keras.Model):
    """Averages the predictions of trained models at each step of the decoding.

    With `"probabilities"`, `P(y) = mean_i P_i(y)`; with `"log_probabilities"`, `P(y)` is proportional to
    `exp(mean_i log P_i(y))` over all tokens except padding. The attention is the members' mean. All means
    are weighted by `weights`.

    A member may be a language model, which predicts a token only from those before it: see `NoSource`.
    With `"log_probabilities"` and weights like `[1, 0.2]` this is shallow fusion (Gulcehre et al. 2015),
    except that the result is normalized, so that `scores` remain log-probabilities.

    Like a `Seq2Seq`, it has `generate`, `score` and `export`, can be part of a `Translator`, and can be
    evaluated with Keras. It is not meant to be trained: train its members.

    Args:
        members: `Seq2Seq` models with the same inputs, vocabularies, start and end ids, and direction, and
            with memories of the same length. Their cells, sizes and kinds of attention may differ.
        average: `"probabilities"` or `"log_probabilities"`.
        weights: a positive number for each member. Only their ratios count. None weighs all alike. The
            attribute is `member_weights`.

    Raises:
        TypeError: a member that is not a model that decodes.
        ValueError: no members, members that differ in what must be the same, an unknown `average`, or more
            or fewer weights than members.

    Example:
        both = keras_attention.Ensemble([model, model])
        both.generate(source, "beam")
        mostly_one = keras_attention.Ensemble([model, model], weights=[2, 1])

    Reference: Sutskever et al. (2014), *Sequence to Sequence Learning with Neural Networks*, section 3.6;
    Gulcehre et al. (2015), *On Using Monolingual Corpora in Neural Machine Translation*.
    """

    def __init__(self, members, average="probabilities", weights=None, **kwargs):
        super().__init__(**kwargs)
        self.members = list(members)
        self.average = check_choice("average", average, AVERAGES)
        if not self.members:
            raise ValueError("`members` must be at least one model. Received: none.")
        for number, member in enumerate(self.members):
            if not isinstance(member, Generates):
                raise TypeError(f"`members` must be Seq2Seq models. Received at {number}: {member!r}.")
            for name, (one, first) in _what_must_be_equal(member, self.members[0]).items():
                if one != first:
                    raise ValueError(
                        f"`members` must have the same {name}. Received: {first} at 0, {one} at {number}."
                    )
        # Not `weights`, which Keras uses for the variables.
        self.member_weights = None if weights is None else _checked_weights(weights, len(self.members))
        self.built = True

    start_id = property(lambda self: self.members[0].start_id)
    end_id = property(lambda self: self.members[0].end_id)
    right_to_left = property(lambda self: self.members[0].right_to_left)
    target_vocabulary_size = property(lambda self: self.members[0].target_vocabulary_size)

    @property
    def reads_source(self):
        """Whether any member reads the source."""
        return any(member.reads_source for member in self.members)

    @property
    def recurrent_layers(self):
        """The Keras RNN layers, for code that sets an option of all of them (export, cuDNN)."""
        return [layer for member in self.members for layer in member.recurrent_layers]

    def source_specs(self):
        """The inputs of each member: a dict of `SourceSpec`."""
        return self.members[0].source_specs()

    def check_pairs(self, source, target):
        """Raises unless source and target fit the members and have the same number of rows."""
        self.members[0].check_pairs(source, target)

    def encode(self, source):
        """A source -> `Encoded`, whose `keys` hold those of the members, and the members' first states."""
        encoded, states = zip(*(member.encode(source) for member in self.members), strict=True)
        lengths = {e.memory_mask.shape[1] for e in encoded} - {None}  # in a graph they may be unknown
        if len(lengths) > 1:
            raise ValueError(f"`members` must have memories of one length. Received: {sorted(lengths)}.")
        mask = encoded[0].memory_mask
        return Encoded((), mask, keys=tuple(e._replace(memory_mask=()) for e in encoded)), states

    def decode_step(self, tokens, states, encoded):
        """One step, as a `Strategy` expects it: previous tokens -> `(log_probs, states, weights)`."""
        found = [
            member.decode_step(tokens, state, part._replace(memory_mask=encoded.memory_mask))
            for member, state, part in zip(self.members, states, encoded.keys, strict=True)
        ]
        log_probs, states, weights = zip(*found, strict=True)
        return self._mean(log_probs), states, self._mean_attention(weights)

    def token_log_probs(self, source, fed):
        """Teacher forcing: a source and (B, T) fed tokens -> (B, T, V) float32."""
        return self._mean([member.token_log_probs(source, fed) for member in self.members])

    def log_probs(self, source, target):
        """`score` as a part of a graph: tensors in, `Scored` tensors out. Ids are not checked."""
        return Scored(
            *token_scores(self.token_log_probs(source, shift_right(target, self.start_id)), target)
        )

    def call(self, inputs):
        source = as_source({name: inputs[name] for name in self.source_specs()})
        self.check_pairs(source, inputs["target"])
        with values_checked():
            # These serve as logits. A loss may multiply them by 0, so none may be -inf.
            return ops.maximum(self.token_log_probs(source, inputs["target"]), LEAST_LOGIT)

    def _mean(self, log_probs):
        """(..., V) log-probabilities of each member -> (..., V) of the ensemble."""
        if self.average == "log_probabilities":
            is_padding = ops.equal(ops.arange(self.target_vocabulary_size), PADDING_ID)  # never written
            mean = _weighted_mean(self._weights(), log_probs)
            return ops.log_softmax(ops.where(is_padding, -float("inf"), mean), axis=-1)
        largest = ops.maximum(functools.reduce(ops.maximum, log_probs), LEAST_LOGIT)  # padding has -inf
        probabilities = [ops.exp(x - largest) for x in log_probs]
        return ops.log(_weighted_mean(self._weights(), probabilities)) + largest

    def _mean_attention(self, attention):
        """(B, S) attention weights of each member -> those of the ensemble, without language models."""
        reads = [member.reads_source or not self.reads_source for member in self.members]
        weights = [weight for weight, read in zip(self._weights(), reads, strict=True) if read]
        attention = [ops.cast(x, "float32") for x, read in zip(attention, reads, strict=True) if read]
        return _weighted_mean(weights, attention)

    def _weights(self) -> list[float]:
        return self.member_weights or [1.0] * len(self.members)

    def get_config(self):
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        config = {"name": self.name, "members": members, "average": self.average}
        return {**config, "weights": self.member_weights}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**deserialized(config, custom_objects))


def _weighted_mean(weights, tensors):
    first, *others = [weight / sum(weights) * x for weight, x in zip(weights, tensors, strict=True)]
    return sum(others, first)


def _checked_weights(weights, number) -> list[float]:
    weights = [check_between("weights", weight, 1e-6, 1e6) for weight in weights]
    if len(weights) != number:
        raise ValueError(
            f"`weights` must be one number for each of the {number} members. Received: {weights}."
        )
    return weights


def _what_must_be_equal(member, first) -> dict:
    """What must be equal, by name: a member's value and the first member's."""
    found = {"inputs": (member.source_specs(), first.source_specs())}
    for name in ("target_vocabulary_size", "start_id", "end_id"):
        found[name] = getattr(member, name), getattr(first, name)
    found["direction"] = DIRECTIONS[member.right_to_left], DIRECTIONS[first.right_to_left]
    return found
