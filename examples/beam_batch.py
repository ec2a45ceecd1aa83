"""Translates a file of lines with Apache Beam: python beam_batch.py MODEL INPUT OUTPUT [OPTIONS]

MODEL is a `.tflite` or a SavedModel of this package. Every worker must be able to read it and INPUT.
Writes files `OUTPUT-00000-of-0000N` of `number<TAB>translation`, where number is that of the line, from 1.
Beam keeps no order: `sort -n OUTPUT-* | cut -f 2-` restores it. One task reads INPUT, so that it knows the
numbers.

Beam 2.77 needs protobuf 6, so give `pip install apache-beam` an environment of its own. There a `.tflite`
needs `ai-edge-litert` and `sentencepiece`, but no TensorFlow. OPTIONS are those of the runner:

* here: --runner FnApiRunner --direct_num_workers 2 --direct_running_mode multi_processing
  (--runner DirectRunner first tries to download Prism, a runner written in Go);
* Flink: --runner FlinkRunner --flink_master HOST:8081 --environment_type DOCKER --environment_config IMAGE
* Dataflow: --runner DataflowRunner --project P --region R --temp_location gs://BUCKET/tmp
  --sdk_container_image IMAGE

IMAGE is `apache/beam_python3.11_sdk` with this package, ai-edge-litert and the model. Tried: only "here".
"""

import argparse

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from keras_attention.loading import load
from keras_attention.text.pair_files import bare_lines


class TranslatorHandler(ModelHandler):
    """Loads an export. Beam's own handler for TensorFlow calls Keras' `load_model`, which refuses it."""

    def __init__(self, model: str):
        super().__init__(min_batch_size=64, max_batch_size=1024)
        self.model = model

    def load_model(self):
        return load(self.model)

    def run_inference(self, batch, model, inference_args=None):
        return [" ".join(text.split("\n")) for text in model.translate(batch).texts]  # one line each


def numbered_lines(path):
    """(number, line) of each line."""
    with FileSystems.open(path) as file:
        yield from enumerate(bare_lines(file), start=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "input", "output"):
        parser.add_argument(name)
    options, of_the_runner = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(of_the_runner)) as pipeline:
        lines = pipeline | beam.Create([options.input]) | beam.FlatMap(numbered_lines) | beam.Reshuffle()
        found = lines | RunInference(KeyedModelHandler(TranslatorHandler(options.model)))
        found | beam.MapTuple("{}\t{}".format) | beam.io.WriteToText(options.output)
