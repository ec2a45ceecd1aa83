"""Translates files of lines with Ray Data: python ray_batch.py MODEL OUTPUT INPUT ... [--workers N]

MODEL is a `.tflite` or a SavedModel of this package. Every node must be able to read it and the inputs,
which may be plain or gzip. Needs `pip install "ray[data]"`; on a cluster, `ray job submit`. Answers
are in the order of the lines, and files in the order given. One task reads a file, so split large ones.

* An actor takes half a core. Actors that take all cores leave none for the reader, and Ray waits for ever.
* This package reads the lines, because `ray.data.read_text` also splits at a form feed or U+2028, and drops
  empty lines: answers would not be on the lines of their sources.
"""

import argparse
from pathlib import Path

import ray

from keras_attention.loading import load
from keras_attention.text.pair_files import read_lines

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


class Translate:  # an actor that holds the model
    def __init__(self, model):
        self.translator = load(model)

    def __call__(self, batch):  # an Arrow table: in NumPy, a text would lose the NULs at its end
        found = self.translator.translate(batch["text"].to_pylist()).texts
        return {"text": [" ".join(text.split("\n")) for text in found]}  # one line each


def translated(model: str, inputs: list[str], workers: int) -> ray.data.Dataset:
    """The rows {"text": the translation of a line}, in the order of the lines."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    files = ray.data.from_items([{"path": path} for path in inputs], override_num_blocks=len(inputs))
    lines = files.flat_map(lambda row: ({"text": line} for line in read_lines(row["path"])))
    return lines.repartition(target_num_rows_per_block=1024).map_batches(
        Translate,
        fn_constructor_args=[model],
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0.5,
        batch_format="pyarrow",
        runtime_env={"env_vars": ONE_THREAD},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    ray.init()
    if options.workers >= 2 * ray.cluster_resources()["CPU"]:
        parser.error("--workers must be fewer than twice the cores: the reader needs one too.")
    with Path(options.output).open("w", encoding="utf-8") as output:
        for row in translated(options.model, options.inputs, options.workers).iter_rows():
            output.write(row["text"] + "\n")
