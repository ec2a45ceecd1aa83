"""Serves translations over HTTP with Ray Serve: python ray_serve.py MODEL [--port 8501] [--replicas 1]

For machines without TensorFlow Serving: `pip install "ray[serve]"`. MODEL is a `.tflite` or a SavedModel of
this package. Requests and answers are those of TensorFlow Serving, so `serving/rest_client.py` is a client:

    curl http://localhost:8501/ -d '{"inputs": {"text": ["THOUGH"]}}'    # {"outputs": {"text": ["DH OW"]}}

Texts that wait are decoded together. A bad request gets status 400 and {"error": the reason} before it can
join the others. A text that is too long is refused, not cut.
"""

import argparse
import asyncio
import json
import signal

from ray import serve
from starlette.responses import JSONResponse

from keras_attention.loading import load

MAX_BATCH = 64  # texts that are decoded together
MAX_TEXTS = 1024  # in a request
MAX_WAITING = 1024  # requests in a replica; more are told to come back later (503)


@serve.deployment(max_ongoing_requests=MAX_WAITING, max_queued_requests=MAX_WAITING)
class Translate:
    """A replica: one process with one model."""

    def __init__(self, model):
        self.translator = load(model)

    async def __call__(self, request):
        try:
            texts = self.checked(await request.body())
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        found = await asyncio.gather(*map(self.translated, texts))
        return JSONResponse({"outputs": {"text": found}})

    def checked(self, body: bytes) -> list[str]:
        """The texts of a request; `ValueError` with the reason if it is bad."""
        try:
            texts = json.loads(body)["inputs"]["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError('Expected {"inputs": {"text": ["...", ...]}} as JSON.') from None
        if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
            raise ValueError(f"`text` must be a list of strings, at least one. Received: {texts!r:.80}")
        if len(texts) > MAX_TEXTS:
            raise ValueError(f"A request may have at most {MAX_TEXTS} texts. Received: {len(texts)}.")
        rows = self.translator.source_tokenizer.ids_of([text.encode(errors="replace") for text in texts])
        if (longest := max(map(len, rows))) > (limit := self.translator.max_source_length):
            raise ValueError(f"A text may have at most {limit} ids. Received: {longest}.")
        return texts

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.002)
    async def translated(self, texts: list[str]) -> list[str]:
        found = await asyncio.to_thread(self.translator.translate, texts)  # requests are read meanwhile
        return found.texts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--replicas", type=int, default=1)
    options = parser.parse_args()
    http = {"host": "127.0.0.1", "port": options.port}
    serve.start(http_options=http, logging_config={"enable_access_log": False})
    serve.run(Translate.options(num_replicas=options.replicas).bind(options.model))
    print(f"Serving {options.model} at http://127.0.0.1:{options.port}/", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    serve.shutdown()
