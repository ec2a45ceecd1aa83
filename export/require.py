"""The libraries that LiteRT files need."""

import importlib.util


def require_litert() -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ImportError(
            "LiteRT files need ai-edge-litert, to be run and to be checked, and it is not installed. "
            "`pip install ai-edge-litert`, or this package with [litert]."
        )
