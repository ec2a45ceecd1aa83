"""What a source is: the inputs of an encoder, how they are described, and how they are checked.

An encoder may be any Keras layer that keeps this contract (B batch, S source length, D memory depth):

* `source_specs()` returns a dict from the name of each input to its `SourceSpec`. An input `x_lengths`
  holds the lengths of the input `x`.
* `encoder(source)` returns `(memory, final_state)`. `source` is one tensor, or a dict of tensors if there
  are several inputs. `memory` is (B, S', D), where S' may differ from S. `final_state` is (B, any depth),
  or `()` for a decoder without a bridge.
* `compute_mask(source, previous_mask)` returns the mask of the memory, (B, S') boolean, True = real; or a
  tuple that begins with this mask; or None if everything is real. The arguments may be symbolic and of
  unknown length, which `keras_attention.lengths_mask` supports.
* `recurrent_layers` (optional) lists the Keras RNN layers that could use cuDNN.
"""

from typing import NamedTuple

import numpy as np

from keras_attention.checks import check_tokens, dtype_name, holds_integers, values_of

LENGTHS = "_lengths"
RESERVED = {"target", "prefix", "noise"}  # the other inputs of training and decoding


class SourceSpec(NamedTuple):
    """One input of an encoder."""

    shape: tuple  # including the batch; None is any size, as in (None, None, 8)
    dtype: str = "float32"
    vocabulary_size: int | None = None  # the number of ids, for an input of ids

    @property
    def is_integer(self) -> bool:
        """Whether it holds ids or lengths rather than features."""
        return "int" in self.dtype

    def sized(self, batch: int | None, length: int | None) -> tuple:
        """The shape with None replaced by these sizes."""
        return (batch, *(length if size is None else size for size in self.shape[1:]))


def ids_specs(vocabulary_size: int | None) -> dict[str, SourceSpec]:
    """A source of token ids: `source` (B, S)."""
    return {"source": SourceSpec((None, None), "int32", vocabulary_size)}


def vectors_specs(features: int) -> dict[str, SourceSpec]:
    """A source of vectors: `source` (B, S, F) and `source_lengths` (B,)."""
    return {"source": SourceSpec((None, None, features)), "source_lengths": SourceSpec((None,), "int32")}


def measured_by(name: str, names) -> str | None:
    """The input among `names` whose lengths the input `name` holds, or None."""
    of = name.removesuffix(LENGTHS)
    return of if of != name and of in names else None


def named_inputs(specs: dict[str, SourceSpec], source) -> dict:
    """A source (one array or a dict) as a dict in the order of the specs; `TypeError` if it differs."""
    if len(specs) == 1 and not isinstance(source, dict):
        return dict.fromkeys(specs, source)
    if not isinstance(source, dict) or source.keys() != specs.keys():
        received = f"the keys {sorted(source)}" if isinstance(source, dict) else type(source).__name__
        needed = ", ".join(f"{name!r}: {spec.shape}" for name, spec in specs.items())
        raise TypeError(f"`source` must be a dict {{{needed}}} for this encoder. Received: {received}.")
    return {name: source[name] for name in specs}


def as_source(inputs: dict):
    """What an encoder is called on: its only input, or a dict of several."""
    return next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)


def as_arrays(specs: dict[str, SourceSpec], source):
    """A source as NumPy arrays, vectors as float32; `ValueError` for rows of different lengths."""
    arrays = {}
    for name, values in named_inputs(specs, source).items():
        arrays[name] = as_array(name, values)
        if not specs[name].is_integer and arrays[name].dtype.kind == "f":
            arrays[name] = arrays[name].astype("float32")
    return as_source(arrays)


def as_array(name: str, values) -> np.ndarray:
    """A user's values as one array; `ValueError` for rows of different lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be one array, with rows padded with 0 to one length. "
            f"Received: a {type(values).__name__} that cannot be made into one ({error})."
        ) from None


def check_source(specs: dict[str, SourceSpec], source) -> int | None:
    """Raises unless a source fits the specs; returns its number of rows, None while that is unknown.

    Types, ranks and static sizes are always checked. Values are checked in eager tensors and arrays, not
    while a graph is traced.

    Raises:
        TypeError: wrong inputs, ids or lengths that are not integers, features that are not floats.
        ValueError: a wrong shape, an empty batch or sequence, an id out of range, features that are NaN or
            infinite, lengths below 1 or above S, inputs with different numbers of rows.
    """
    inputs = named_inputs(specs, source)
    rows = {}
    for name, spec in specs.items():
        _check_input(inputs[name], name, spec)
        rows[name] = inputs[name].shape[0]
    for name in specs:
        if of := measured_by(name, specs):
            _check_lengths(inputs[name], name, inputs[of].shape[1])
    known = {size for size in rows.values() if size is not None}
    if len(known) > 1:
        raise ValueError(
            f"The inputs of a source must have one row for each source. Received: {rows} rows."
        )
    return next(iter(known), None)


def _check_input(tensor, name, spec):
    if spec.is_integer and len(spec.shape) == 2:
        return check_tokens(tensor, name, spec.vocabulary_size)
    shape, dtype = tuple(tensor.shape), dtype_name(tensor)
    fits = len(shape) == len(spec.shape) and all(
        None in (size, expected) or size == expected
        for size, expected in zip(shape, spec.shape, strict=True)
    )
    if not fits or 0 in shape:
        raise ValueError(
            f"`{name}` must have the shape {spec.shape}, where None is any size from 1. "
            f"Received: {name}.shape={shape}."
        )
    if not (holds_integers(tensor) if spec.is_integer else "float" in dtype):
        kind = "integers" if spec.is_integer else "floats"
        raise TypeError(
            f"`{name}` must hold {kind}. Received: {name}.dtype={dtype}. "
            f"Cast them where they are made, e.g. `.astype('{spec.dtype}')`."
        )
    values = values_of(tensor)
    if values is None:
        return None
    if spec.is_integer:
        if spec.vocabulary_size and ((values < 0) | (values >= spec.vocabulary_size)).any():
            raise ValueError(
                f"`{name}` must hold ids from 0 to {spec.vocabulary_size - 1}. "
                f"Received: from {values.min()} to {values.max()}."
            )
    elif not np.isfinite(values.astype("float32")).all():
        wrong = np.argwhere(~np.isfinite(values.astype("float32")))[0].tolist()
        raise ValueError(f"`{name}` must hold finite numbers. Received: {values[tuple(wrong)]} at {wrong}.")
    return None


def _check_lengths(lengths, name, steps):
    values = values_of(lengths)
    if values is None or steps is None:
        return
    wrong = (values < 1) | (values > steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"`{name}` must be from 1 to {steps}, the length of the padded rows. "
            f"Received: {name}[{row}]={values[row]}."
        )
