"""The strategies by name."""

import functools

from keras_attention.checks import check_choice
from keras_attention.choices import BEAM_WIDTH
from keras_attention.decoding.beam import Beam
from keras_attention.decoding.sampling import Greedy, Sample
from keras_attention.decoding.strategy import Strategy

STRATEGIES = {"greedy": Greedy, "beam": functools.partial(Beam, width=BEAM_WIDTH), "sample": Sample}


def get_strategy(strategy: str | Strategy | None, **options) -> Strategy:
    """Returns the strategy that `strategy` names, or `strategy` itself if it is one.

    Args:
        strategy: a name (`"beam"` has a width of 5), a strategy, or None for `Greedy()`.
        **options: arguments of the named strategy.

    Raises:
        TypeError: neither a name nor a strategy, or a strategy that is not hashable.
        ValueError: an unknown name.
    """
    if strategy is None:
        return Greedy()
    if isinstance(strategy, str):
        return STRATEGIES[check_choice("strategy", strategy, STRATEGIES)](**options)
    if not isinstance(strategy, Strategy):
        raise TypeError(
            "`strategy` must be a name or a strategy such as `Greedy()`. "
            f"Received: strategy={strategy!r} of type {type(strategy).__name__}."
        )
    try:
        hash(strategy)
    except TypeError as error:
        raise TypeError(
            "The attributes of a strategy must be hashable. Use tuples instead of lists or arrays. "
            f"Received: {type(strategy).__name__} with {vars(strategy)} ({error})."
        ) from None
    return strategy
