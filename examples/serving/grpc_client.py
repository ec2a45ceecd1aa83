"""Translates texts with TensorFlow Serving over gRPC: python grpc_client.py TEXT ...

Needs tensorflow-serving-api, which brings grpcio.
"""

import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def translate(texts: list[str], channel: grpc.Channel) -> list[str]:
    """The translations of the texts; `grpc.RpcError` with the server's reason for a bad request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "g2p"
    request.model_spec.signature_name = "translate"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([text.encode() for text in texts]))
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=10)
    return [text.decode() for text in tf.make_ndarray(answer.outputs["text"])]


if __name__ == "__main__":
    with grpc.insecure_channel("localhost:8500") as channel:
        print(*translate(sys.argv[1:], channel), sep="\n")
