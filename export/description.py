"""What a client must know about an exported model, and its tokenizers."""

import keras

from keras_attention.models.translator import Translator
from keras_attention.tokens import END_ID, PADDING_ID, UNKNOWN_ID

from .associated_files import SIDES
from .signatures import seq2seq_of


def description_of(model, decoding, names) -> dict:
    """The description that an export of a model with these signatures carries, for JSON."""
    seq2seq = seq2seq_of(model)
    description = {
        "keras": keras.__version__,
        "signatures": sorted(names),
        "max_length": decoding.max_length,
        "beam": decoding.beam.get_config(),
        "source": {name: spec._asdict() for name, spec in seq2seq.source_specs().items()},
        "target_vocabulary_size": seq2seq.target_vocabulary_size,
        "padding_id": PADDING_ID,
        "unknown_id": UNKNOWN_ID,
        "start_id": seq2seq.start_id,
        "end_id": seq2seq.end_id,
        "source_end_id": END_ID,
        "right_to_left": seq2seq.right_to_left,
    }
    if isinstance(model, Translator):
        description |= {"max_source_length": model.max_source_length, "too_long": model.too_long}
    for side, tokenizer in tokenizers_of(model).items():
        description[f"{side}_tokenizer"] = tokenizer.kind
        description[f"{side}_unicode_form"] = tokenizer.unicode_form
    return description


def tokenizers_of(model) -> dict:
    """The tokenizers of a translator, by side."""
    found = {side: getattr(model, f"{side}_tokenizer", None) for side in SIDES}
    return {side: tokenizer for side, tokenizer in found.items() if tokenizer}
