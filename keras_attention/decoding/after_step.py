"""One step of a model, and what a strategy needs of it."""


def after_step(step, function, tokens, states, rows):
    """One step, and what a strategy needs of its log-probabilities.

    Args:
        step: as a `Strategy` takes it. If it has a method `then`, it computes only some of the rows, and
            calls the function for these: (B, K, V) numbers are too many to be copied.
        function: `function(log_probs, rows)`, a nest of tensors, batch first.
        tokens, states: what the step takes.
        rows: a dict of tensors, batch first, that the function reads.

    Returns:
        What the function returned, the new states and the weights.
    """
    if hasattr(step, "then"):
        return step.then(function, tokens, states, rows)
    log_probs, states, weights = step(tokens, states)
    return function(log_probs, rows), states, weights
