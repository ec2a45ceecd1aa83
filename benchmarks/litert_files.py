"""Compares LiteRT files of a trained translator with its SavedModel: size, agreement, quality, time.

    python benchmarks/litert_files.py RUN TEST.tsv [--texts 1000]

RUN is a folder of `keras-attention train`. The files are float32, float16 and int8, without signatures for
text. Prints for each: the size; on the first texts of TEST, how many answers equal those of the model, and
the largest difference between their log-probabilities; exact match and token error rate on all of TEST;
and for the first text the minimum and median time of `greedy_decode` on one core. The
SavedModel takes turns with them.
"""

import argparse
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_attention.export import LiteRTTranslator, litert, saved_model
from keras_attention.text.pair_files import read_references
from keras_attention.training.evaluate import evaluate


def times_in_turns(calls, repeats=50):
    taken = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - start) * 1000)
    return {name: (min(values), np.median(values)) for name, values in taken.items()}


def main(run, test_file, num_texts):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    translator = keras.saving.load_model(f"{run}/translator.keras")
    texts, _, references = zip(*read_references(test_file), strict=True)
    live = translator.translate(texts)
    ids = translator.source_tokenizer.tokenize(tf.constant(texts[:1]))
    quality, calls, sizes = {"SavedModel": evaluate(live.texts, references)}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = saved_model(translator, f"{folder}/1", warmup=False)
        loaded = tf.saved_model.load(str(path)).signatures["greedy_decode"]
        calls["SavedModel"] = lambda: loaded(source=ids)
        sizes["SavedModel"] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        agreement = {"SavedModel": "(the reference)"}
        for quantize in (None, "float16", "int8"):
            name = quantize or "float32"
            file = litert(translator, f"{folder}/{name}.tflite", quantize=quantize, text=False)
            reader = LiteRTTranslator(file)
            found = reader.translate(texts)
            quality[name] = evaluate(found.texts, references)
            sizes[name] = file.stat().st_size
            same = sum(a == b for a, b in zip(found.texts[:num_texts], live.texts[:num_texts], strict=True))
            apart = np.abs(found.scores - live.scores)[:num_texts].max()
            agreement[name] = f"{same} of {min(num_texts, len(texts))}, {apart:.1e}"
            padded = np.zeros((1, reader.source_length), "int32")
            padded[:, : ids.shape[1]] = ids
            run_file = reader._runners["greedy_decode"]
            calls[name] = lambda run_file=run_file, padded=padded: run_file(source=padded)
        times = times_in_turns(calls)
    print(
        "| | size, MB | same answers, largest score difference | exact match % | token error rate % | ms |"
    )
    print("|---|---|---|---|---|---|")
    for name, figures in quality.items():
        print(
            f"| {name} | {sizes[name] / 1e6:.2f} | {agreement[name]} | {100 * figures['exact_match']:.2f} "
            f"| {100 * figures['token_error_rate']:.2f} | {times[name][0]:.2f} ({times[name][1]:.2f}) |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("test_file")
    parser.add_argument("--texts", type=int, default=1000)
    options = parser.parse_args()
    main(options.run, options.test_file, options.texts)
