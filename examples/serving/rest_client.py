"""Translates texts with TensorFlow Serving over REST: python rest_client.py TEXT ..."""

import json
import sys
import urllib.error
import urllib.request

URL = "http://localhost:8501/v1/models/g2p:predict"


def translate(texts: list[str], url: str = URL) -> list[str]:
    """The translations of the texts; `ValueError` with the server's reason for a bad request."""
    body = json.dumps({"signature_name": "translate", "inputs": {"text": texts}}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["outputs"]["text"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["error"]) from None


if __name__ == "__main__":
    print(*translate(sys.argv[1:]), sep="\n")
