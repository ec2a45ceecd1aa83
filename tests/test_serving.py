"""The configurations and the clients in examples/serving. The servers here run the exported model."""

import http.server
import importlib.util
import json
import re
import threading
from concurrent import futures
from pathlib import Path

import pytest
import tensorflow as tf
from test_translator import WORDS, make_translator

pytest.importorskip("tensorflow_serving")
FOLDER = Path(__file__).parent.parent / "examples" / "serving"
BATCHING = {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}


def imported(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def translator():
    return make_translator()


@pytest.fixture(scope="module")
def translate(translator, tmp_path_factory):
    path = translator.export(tmp_path_factory.mktemp("g2p") / "1", signatures=["translate"], warmup=False)
    return tf.saved_model.load(str(path)).signatures["translate"]


def test_the_configurations_are_those_of_the_server():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    models = text_format.Parse(
        (FOLDER / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path) == ("g2p", "/models/g2p")
    # The messages of the other two are not in tensorflow-serving-api.
    monitoring = re.sub(r"#.*|\s", "", (FOLDER / "monitoring.config").read_text())
    assert monitoring == 'prometheus_config{enable:truepath:"/metrics"}'
    fields = re.findall(r"^(\w+) \{ value: \d+ \}$", (FOLDER / "batching.config").read_text(), re.MULTILINE)
    assert set(fields) == BATCHING
    for file in ("compose.yaml", "kserve.yaml"):
        assert "2.19.0" in (FOLDER / file).read_text()


def test_the_grpc_client_gets_the_translations(translator, translate):
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            assert (request.model_spec.name, request.model_spec.signature_name) == ("g2p", "translate")
            texts = tf.constant(tf.make_ndarray(request.inputs["text"]))
            answer = predict_pb2.PredictResponse()
            answer.outputs["text"].CopyFrom(tf.make_tensor_proto(translate(text=texts)["text"].numpy()))
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        found = imported("grpc_client").translate(WORDS, channel)
    server.stop(None)
    assert found == translator.translate(WORDS).texts


def test_the_rest_client_gets_the_translations_or_the_reason(translator, translate):
    class Service(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                texts = translate(text=tf.constant(request["inputs"]["text"], tf.string))["text"].numpy()
                status, answer = 200, {"outputs": {"text": [text.decode() for text in texts]}}
            except (tf.errors.InvalidArgumentError, ValueError) as error:
                status, answer = 400, {"error": str(error)}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("localhost", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client, url = imported("rest_client"), f"http://localhost:{server.server_port}/"
        assert client.translate(WORDS, url) == translator.translate(WORDS).texts
        with pytest.raises(ValueError, match="must have at least one row"):
            client.translate([], url)
        server.shutdown()
