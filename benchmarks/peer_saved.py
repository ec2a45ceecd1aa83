"""A worker: the exported files, run by TensorFlow and by LiteRT without any of this package's code."""

import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow_serving.apis import prediction_log_pb2
from workers import limit_tensorflow, serve, walls

SIGNATURE = "greedy_decode"


class Saved:
    def load(self, folder, name, threads="1"):
        """Loads a SavedModel or a LiteRT file from the folder."""
        self.folder, self.name, self.threads = Path(folder), name, threads
        path = self.folder / name
        if path.suffix == ".tflite":
            interpreter = Interpreter(str(path), num_threads=int(threads))
            names = interpreter.get_signature_list()
            self.signatures = {name: interpreter.get_signature_runner(name) for name in names}
            self.as_input = np.asarray
        else:
            self.signatures = tf.saved_model.load(str(path)).signatures
            self.as_input = tf.constant

    def decode(self, batch, repeats, signature=SIGNATURE):
        source = self.as_input(np.load(self.folder / f"source_{batch}.npy"))
        run = self.signatures[signature]
        name = f"tokens_{signature}_{batch}_{self.name}.npy"
        np.save(self.folder / name, np.asarray(run(source=source)["tokens"]))
        return walls(lambda: np.asarray(run(source=source)["tokens"]), repeats)

    def floor(self, repeats):
        """The time that `floor.tflite` takes; it does not depend on the input values."""
        run = self.signatures["serving_default"]
        inputs = {
            name: np.ones(detail["shape"], "float32") for name, detail in run.get_input_details().items()
        }
        run(**inputs)
        return walls(lambda: run(**inputs), repeats)

    def start(self, folder, name, warmup):
        """Seconds to load, to play the warm-up requests, and to give a user the first answer."""
        source = np.load(Path(folder) / "source_1.npy")
        marks = [time.perf_counter()]
        self.load(folder, name)
        marks.append(time.perf_counter())
        if warmup:
            self._play_warmup_requests()
        marks.append(time.perf_counter())
        np.asarray(self.signatures[SIGNATURE](source=self.as_input(source))["tokens"])
        marks.append(time.perf_counter())
        return dict(zip(("load", "warmup", "first"), np.diff(marks).tolist(), strict=True))

    def _play_warmup_requests(self):
        file = self.folder / self.name / "assets.extra" / "tf_serving_warmup_requests"
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
            self.signatures[request.model_spec.signature_name](**inputs)


if __name__ == "__main__":
    limit_tensorflow(sys.argv[1])
    saved = Saved()
    serve({name: getattr(saved, name) for name in ("load", "decode", "floor", "start")})
