"""Time from loading a file to the first answer, and what importing the package adds to importing Keras."""

import subprocess
import sys
import tempfile

from bench_decoding import SOURCE_LENGTH, STEPS, export
from bench_training import EMBEDDING
from workers import Worker

WAYS = [  # file, whether the warm-up requests are played
    ("plain", False),
    ("plain", True),
    ("compiled", False),
    ("compiled", True),
    ("float32.tflite", False),
    ("int8.tflite", False),
]
IMPORT = """
import time, keras
start = time.perf_counter()
import keras_attention
print(time.perf_counter() - start)
"""


PARTS = ("load", "warmup", "first")


def measure(repeats: int) -> dict:
    """Minimum seconds to load, to warm up and to give the first answer; the ways take turns."""
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        export(folder, {"vocabulary_size": 50, "units": 256, "embedding_dim": EMBEDDING})
        for _ in range(repeats):
            for name, warmup in WAYS:
                with Worker("saved", "1x2") as worker:
                    found[name, warmup].append(worker("start", folder=folder, name=name, warmup=warmup))
    return {
        "start": [
            {"file": name, "warm-up": warmup, **{part: min(run[part] for run in runs) for part in PARTS}}
            for (name, warmup), runs in found.items()
        ],
        "import": min(import_seconds() for _ in range(repeats)),
    }


def import_seconds() -> float:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(done.stdout)


def table(found: dict) -> str:
    lines = [
        f"Greedy decoding of {STEPS} tokens from a source of {SOURCE_LENGTH}; seconds.",
        "",
        "| file | warm-up requests | to load | to warm up | the first answer |",
        "|---|---|---|---|---|",
    ]
    for row in found["start"]:
        played = "played" if row["warm-up"] else "not played"
        lines.append(
            f"| {row['file']} | {played} | {row['load']:.2f} | {row['warmup']:.2f} | {row['first']:.3f} |"
        )
    lines += ["", f"`import keras_attention` after `import keras`: {1000 * found['import']:.0f} ms."]
    return "\n".join(lines)
