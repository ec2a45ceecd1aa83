"""The contract of encoders (see `keras_attention.sources`), checked where a model uses its encoder."""

import keras

from keras_attention.sources import RESERVED, SourceSpec


def checked_specs(encoder, copies: bool) -> dict[str, SourceSpec]:
    """The encoder's `source_specs()`; raises `ValueError` if they are wrong.

    Args:
        encoder: the encoder.
        copies: whether the decoder's head copies source ids, and so needs ids as the only input.
    """
    specs = encoder.source_specs()
    is_right = isinstance(specs, dict) and specs and not RESERVED & specs.keys()
    if not is_right or not all(isinstance(spec, SourceSpec) for spec in specs.values()):
        raise ValueError(
            "`encoder.source_specs()` must return a dict of `keras_attention.SourceSpec`, with other "
            f"names than {', '.join(sorted(RESERVED))}. Received: {specs!r}."
        )
    is_ids = [spec.is_integer and len(spec.shape) == 2 for spec in specs.values()] == [True]
    if copies and not is_ids:
        raise ValueError(
            "This decoder's head copies from the source, whose only input must be ids (B, S). "
            f"Received: source_specs()={specs!r}."
        )
    return specs


def encode_checked(encoder, source):
    """Encodes a source: `(memory, final_state, memory_mask)`, the last two None if there are none.

    Raises:
        ValueError: what the encoder returns has a wrong structure or rank.
    """
    found = encoder(source)
    if not isinstance(found, list | tuple) or len(found) != 2 or len(getattr(found[0], "shape", ())) != 3:
        raise ValueError(
            f"`encoder` must return (memory, final_state), memory (B, S', D). Received from {encoder!r}: "
            f"{keras.tree.map_structure(lambda x: getattr(x, 'shape', x), found)}."
        )
    mask, *_ = keras.tree.flatten(encoder.compute_mask(source, None))
    if mask is not None and len(mask.shape) != 2:
        raise ValueError(
            "`encoder.compute_mask(source, None)` must return the mask of the memory, (B, S') boolean. "
            f"Received from {encoder!r}: the shape {mask.shape}."
        )
    memory, final_state = found
    if isinstance(final_state, tuple | list):
        if len(final_state):
            raise ValueError(
                "The final state of `encoder` must be one tensor (B, any depth), or (). Received from "
                f"{encoder!r}: {[x.shape for x in final_state]}. Concatenate them."
            )
        final_state = None
    return memory, final_state, mask
