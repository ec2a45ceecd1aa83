"""Reads a LiteRT file that this package wrote, and translates with it."""

import os
import threading
from pathlib import Path

import numpy as np

from keras_attention.decoding.explanation import ExplainedStep, WhatIf, explained
from keras_attention.decoding.strategy import Decoded
from keras_attention.quiet import quiet

from .associated_files import read_associated_files
from .reads_exports import DECODING, ReadsExports, damage_reported
from .require import require_litert


class LiteRTTranslator(ReadsExports):
    """A LiteRT file as a translator, with `translate`, `translate_n_best` and `explain` as in `Translator`.

    It tokenizes with the SentencePiece models in the file, and decodes with the signatures `greedy_decode`
    and `beam_decode`. Its strategies are those of the file: `Greedy()`, and the `Beam` that it was written
    with. `explain` runs the signatures `encode` and `explain_step`. It needs neither Keras nor TensorFlow.

    Args:
        path: the `.tflite` file.
        num_threads: the number of threads of the interpreter.

    Raises:
        ImportError: ai-edge-litert is not installed.
        OSError, ValueError: no file, or not one that `keras_attention.export.litert` wrote from a
            `Translator`.

    Example:
        texts = keras_attention.export.LiteRTTranslator("model.tflite").translate(["two dogs"]).texts
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1):
        require_litert()
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(path, *read_associated_files(path))
        limit = self.max_source_length
        with damage_reported(path):
            # From the content: given a path, it maps the file, which may be replaced meanwhile.
            interpreter = Interpreter(model_content=Path(path).read_bytes(), num_threads=num_threads)
            self._runners = {
                name: interpreter.get_signature_runner(name)
                for name in (*DECODING, "encode", "explain_step")
                if name in interpreter.get_signature_list()
            }
            inputs = (run.get_input_details() for run in self._runners.values())
            widths = (int(found["source"]["shape"][1]) for found in inputs if "source" in found)
            self.source_length = next(widths, limit)
        self._lock = threading.Lock()  # the interpreter holds the tensors of only one call
        self.max_source_length = min(limit, self.source_length)

    def run(self, signature, inputs):
        run = self._runners[signature]
        padded = self._padded(inputs)
        # The first call reports the delegate that it creates.
        with self._lock, quiet(), damage_reported(self._path):
            rows = range(len(inputs["source"]))
            found = [run(**{name: ids[row : row + 1] for name, ids in padded.items()}) for row in rows]
            decoded = Decoded(*(np.concatenate([one[field] for one in found]) for field in Decoded._fields))
        parts = [  # each input fills a padded part of the memory
            decoded.attention[..., i * self.source_length :][..., :width]
            for i, width in enumerate(ids.shape[1] for ids in inputs.values())
        ]
        return decoded._replace(attention=np.concatenate(parts, axis=-1))

    def explain_ids(self, source, tokens, weights, temperature):
        if "explain_step" not in self._runners:
            raise ValueError("The export was written without the signature explain_step.")
        what_if = WhatIf(tokens, weights, temperature, self.target_tokenizer.vocabulary_size)
        inputs = source if isinstance(source, dict) else {"source": source}
        ends = self.description["start_id"], self.description["end_id"], self.max_target_length

        def step(token, weights, encoded):
            fed = {"token": np.array([token], "int32"), "given_weights": weights[None]}
            found = self._runners["explain_step"](**fed, **encoded)
            states = {name: value for name, value in found.items() if name.startswith("state_")}
            return ExplainedStep(*(found[field][0] for field in ExplainedStep._fields)), encoded | states

        with self._lock, quiet(), damage_reported(self._path):
            encoded = self._runners["encode"](**self._padded(inputs))
            memory, mask = encoded["memory"][0], encoded["memory_mask"][0] != 0
            return explained(memory, mask, encoded, step, what_if, *ends)

    def _padded(self, inputs):
        """(B, at most S) ids by name -> (B, S), padded with 0."""
        for name, ids in inputs.items():
            if (width := ids.shape[1]) > self.source_length:
                raise ValueError(
                    f"The file takes at most {self.source_length} ids of `{name}`. Received: {width}."
                )
        return {
            name: np.pad(ids, ((0, 0), (0, self.source_length - ids.shape[1])))
            for name, ids in inputs.items()
        }
