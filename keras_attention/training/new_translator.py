"""An untrained `Translator` that suits the texts: its tokenizers, its limits and its model."""

import inspect
import itertools

from keras_attention.layers.cell import AttentionDecoderCell
from keras_attention.layers.decoder import AttentionDecoder
from keras_attention.layers.encoder import Encoder
from keras_attention.layers.features import FeaturesEncoder, Gated
from keras_attention.layers.heads import PointerHead
from keras_attention.models.seq2seq import Seq2Seq
from keras_attention.models.translator import Translator
from keras_attention.text.datasets import CHUNK
from keras_attention.text.pair_files import BadLines, chunks, read_pairs
from keras_attention.text.tokenizers import SentencePieceTokenizer
from keras_attention.text.training_texts import TRAINING_TEXTS, sample
from keras_attention.training.options import Options

HANGUL = frozenset(map(chr, range(0xAC00, 0xD7A4)))  # the syllables
MAX_IDS = 256  # texts in training have at most this many, unless a limit is given
# The source is normalized as a reader would do it; the target is kept as it is written.
NORMALIZATIONS = {"source": "nmt_nfkc", "target": "identity"}
DEFAULT_VOCABULARY_SIZES = {"char": 2000, "word": 20_000, "bpe": 8000, "unigram": 8000}


def new_translator(train_file, is_training, options, say, strict=False) -> tuple[Translator, Options]:
    """Trains the tokenizers on the training pairs and assembles an untrained model.

    Also returns the options, with input feeding chosen.
    """
    tokenizers, limits = [], []
    bad_lines = BadLines(strict)
    read = read_pairs(train_file, bad_lines, options.columns)
    pairs = sample((pair for pair in read if is_training(pair)), TRAINING_TEXTS)
    if not pairs:
        columns = ", ".join(options.columns)
        raise ValueError(f"There are no training pairs in {train_file}, of {columns}. {bad_lines}".strip())
    for side, normalization in NORMALIZATIONS.items():
        texts = [getattr(pair, side) for pair in pairs]
        kind = getattr(options, f"{side}_tokenizer") or suitable_tokenizer(texts)
        size = getattr(options, f"{side}_vocabulary_size") or DEFAULT_VOCABULARY_SIZES[kind]
        form = options.unicode_form
        if side == "source" and options.head != "pointer":  # a pointer copies pieces that both sides have
            form = form or suitable_form(texts)
        tokenizer = SentencePieceTokenizer.train(texts, kind, size, normalization, form)
        limit = getattr(options, f"max_{side}_length") or _suitable_limit(texts, tokenizer)
        ids = f"{tokenizer.vocabulary_size} ids{f' of {form}' if form else ''}"
        say(f"{side}: {kind} tokenizer, {ids}, at most {limit} of them a text")
        tokenizers.append(tokenizer)
        limits.append(limit)
    source, target = tokenizers
    if options.input_feeding is None:
        options = options.for_model(len(pairs))
        say(f"input feeding: {'yes' if options.input_feeding else 'no'}")
    copy_ids = source.ids_in(target) if options.head == "pointer" else None
    sizes, features = [source.vocabulary_size, target.vocabulary_size], None
    if options.has_features:
        features = features_tokenizer(pair.features for pair in pairs)
        say(f"features: {features.vocabulary_size} ids")
        sizes.append(features.vocabulary_size)
    model = new_model(options, *sizes, copy_ids=copy_ids)
    translator = Translator(model, source, target, *limits, features_tokenizer=features)
    say(f"model: {translator.count_params():,} parameters")
    return translator, options


def features_tokenizer(texts) -> SentencePieceTokenizer:
    """A tokenizer of tags between semicolons or spaces."""
    texts = [text for text in texts if text.strip(" ;")]
    if not texts:
        raise ValueError("No training pair has features. Name two --columns, or give features.")
    size = DEFAULT_VOCABULARY_SIZES["word"]
    return SentencePieceTokenizer.train(texts, "word", size, "identity", separators=";")


def new_model(
    options: Options, source_size: int, target_size: int, features_size=None, copy_ids=None
) -> Seq2Seq:
    """An untrained model for vocabularies of these sizes; `copy_ids` are those of a `PointerHead`."""
    arguments = _arguments(options, Encoder)
    encoder = Encoder(source_size, num_layers=options.layers, **arguments)
    if features_size:
        encoder = FeaturesEncoder(encoder, Encoder(features_size, **arguments))
    arguments = _arguments(options, AttentionDecoder, AttentionDecoderCell)
    if features_size:
        arguments["normalizer"] = Gated(options.normalizer)
    if options.head == "pointer":
        arguments["head"] = PointerHead(target_size, copy_ids, name="head")
    decoder = AttentionDecoder(target_size, num_layers=options.layers, **arguments)
    outputs = ("logits", "attention") if options.coverage else "logits"
    return Seq2Seq(encoder, decoder, outputs=outputs, right_to_left=options.right_to_left)


def _arguments(options, *classes) -> dict:
    """The options that are arguments of the classes."""
    names = set().union(*(inspect.signature(class_).parameters for class_ in classes))
    return {name: value for name, value in vars(options).items() if name in names}


def suitable_tokenizer(texts) -> str:
    """Words if there are few different ones, characters if texts are short, otherwise subwords.

    Phones ("AH B AE D IY") become words, single words and dates become characters, sentences subwords.
    """
    words, num_words, num_characters, num_texts = set(), 0, 0, 0
    for text in itertools.islice(texts, 100_000):
        split = text.split()
        words.update(split)
        num_words += len(split)
        num_characters += len(text)
        num_texts += 1
    if num_words > 1.5 * num_texts and len(words) <= 500 and num_words > 20 * len(words):
        return "word"
    return "char" if num_characters <= 40 * num_texts else "unigram"


def suitable_form(texts) -> str | None:
    """NFD, which takes Hangul syllables apart, if most letters are Hangul syllables; otherwise None."""
    letters = [letter for text in itertools.islice(texts, 100_000) for letter in text if letter.isalpha()]
    return "NFD" if sum(letter in HANGUL for letter in letters) > len(letters) / 2 else None


def _suitable_limit(texts, tokenizer) -> int:
    """1.5 times the length of the longest training text, but at most `MAX_IDS`."""
    longest = 1
    for chunk in chunks(texts, CHUNK):
        longest = max(longest, *map(len, tokenizer.ids_of([text.encode() for text in chunk])))
    return min(longest + longest // 2, MAX_IDS)
