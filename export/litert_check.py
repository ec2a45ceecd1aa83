"""Checks, before a LiteRT file is moved into place, that it answers as the model does."""

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.decoding.limits import possible
from keras_attention.decoding.sampling import Greedy
from keras_attention.sources import as_source

from . import litert_run
from .example_sources import example_sources
from .litert_run import SOURCE, STEPS
from .signatures import TEXT_SIGNATURES, seq2seq_of

CLOSE = 1e-3  # tolerance of log-probabilities summed over a sequence, in float32
SOURCES = 5


def check_file(path, model, decoding, source_length, names, exact) -> str:
    """Raises `RuntimeError` unless the file runs and, if `exact`, answers as the model does.

    `ValueError` says that the model itself has no finite answers. The check compares the log-probability
    of each source's best answer, and the attention of equal answers.

    Returns:
        A line that says what was checked and how close the answers were.
    """
    _check_operators(path.read_bytes())
    requests, expected = _requests(model, decoding, source_length, names)
    found = _run(path, requests)
    same = total = 0
    largest = 0.0
    for key in found:
        interface, name, output = key.split("/")
        if output != "scores" or name not in expected:
            continue
        answers, scores, attention = expected[name]
        written = found[f"{interface}/{name}/{'text' if name in TEXT_SIGNATURES else 'tokens'}"]
        if name in TEXT_SIGNATURES:
            # LiteRT has no operator that strips spaces or composes letters.
            compose = model.target_tokenizer.composed
            written = np.array([compose(text.decode()).strip().encode() for text in written.flat])
        rows = len(answers)
        equal = (written.reshape(answers.shape) == answers).reshape(rows, -1).all(axis=1)
        log_probs = np.where(possible(found[key]), found[key], -np.inf).reshape(rows, -1)[:, 0]
        # Only the best of a beam: at a tie, the last of many may differ from the model's.
        difference = np.abs(log_probs - scores.reshape(rows, -1)[:, 0])
        found_attention = found.get(f"{interface}/{name}/attention")
        attention_difference = 0.0
        if found_attention is not None and equal.any():
            attention_difference = np.abs(found_attention.reshape(attention.shape) - attention)[equal].max()
        if not np.isfinite(difference).all() or (exact and max(*difference, attention_difference) > CLOSE):
            raise RuntimeError(
                f"The LiteRT file does not answer as the model does: {name}, run by the {interface}, gives "
                f"different answers for {np.sum(~equal)} of {rows} sources; log-probabilities differ by "
                f"{difference.max():.2g}, attention by {attention_difference:.2g}."
            )
        same, total, largest = same + equal.sum(), total + rows, max(largest, difference.max())
    return f"checked: {same} of {total} answers are the model's, log-probabilities within {largest:.1e}"


def _check_operators(content: bytes) -> None:
    from ai_edge_litert import schema_py_generated as schema

    codes = schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes
    custom = {code.customCode.decode() for code in codes if code.customCode}
    foreign = sorted(name for name in custom if not name.startswith("TFText>"))
    if foreign:
        raise RuntimeError(f"The LiteRT file has operators that are not built in: {', '.join(foreign)}.")


def _requests(model, decoding, source_length, names):
    """Sources of several lengths, and the model's answers."""
    seq2seq = seq2seq_of(model)
    lengths = np.linspace(1, source_length, SOURCES).astype(int)
    inputs = example_sources(seq2seq, lengths, source_length)
    source = as_source(inputs)
    strategies = {"greedy_decode": Greedy()}
    if "beam_decode" in names:
        strategies["beam_decode"] = decoding.beam
    expected, requests = {}, {f"{SOURCE}{name}": values for name, values in inputs.items()}
    requests |= {"start_id": seq2seq.start_id, "end_id": seq2seq.end_id, "max_length": decoding.max_length}
    for name, strategy in strategies.items():
        decoded = seq2seq.generate(source, strategy, decoding.max_length)
        requests[f"{name}_tokens"], requests[f"{name}_scores"] = (
            decoded.tokens[0].size,
            decoded.scores[0].size,
        )
        if not np.isfinite(decoded.scores.reshape(SOURCES, -1)[:, 0]).all():
            raise ValueError(f"The model's own log-probabilities are not finite: {decoded.scores}.")
        expected[name] = decoded.tokens, decoded.scores, decoded.attention
    expected |= dict.fromkeys(STEPS, expected["greedy_decode"])
    expected = {name: answers for name, answers in expected.items() if name in names}
    if set(TEXT_SIGNATURES) & set(names):
        limit = min(model.max_source_length, source_length)
        texts = model.source_tokenizer.detokenize(source[:, : limit - 1])
        texts = tf.concat([[""], texts], axis=0)
        # Only texts that neither of them cuts: the file's limit may be lower than the model's.
        texts = texts[model.source_tokenizer.ragged_ids(texts).row_lengths() <= limit]
        requests["text"] = np.array(texts.numpy().tolist())
        for name, strategy in (("translate", Greedy()), ("translate_beam", decoding.beam)):
            written, scores = model.translate_tensors(
                texts, lambda source, s=strategy: decoding.decode(source, s)
            )
            expected[name] = np.array(written.numpy().tolist()), scores.numpy(), None
    return requests, expected


def _run(path, requests):
    with tempfile.TemporaryDirectory() as folder:
        given, written = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, **requests)
        # Run as text: a script's folder is on the path, and this one has modules like `formats`.
        command = [sys.executable, "-c", inspect.getsource(litert_run), path.absolute(), given, written]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder)
        if done.returncode:
            raise RuntimeError(f"The LiteRT file did not run: {done.stderr.strip()[-2000:]}")
        return dict(np.load(written))
