"""Greedy decoding of 24 tokens, and beam search: milliseconds per call."""

import contextlib
import tempfile

import numpy as np
from bench_training import EMBEDDING, best_threads
from workers import END_ID, THREADS, Worker, in_turns

STEPS = 24
SOURCE_LENGTH = 10
SIZES = [(50, 128), (50, 256), (8000, 256)]  # vocabulary, units
BATCHES = (1, 32)
INNER = 5  # calls per turn
OURS = ("plain", "compiled")
FILES = ("float32.tflite", "int8.tflite")


def measure(repeats: int) -> list[dict]:
    """The seconds of each way to decode, for each size and batch."""
    return [found for size in SIZES for found in decoding(*size, repeats)]


def decoding(vocabulary_size, units, repeats) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        shape = {"vocabulary_size": vocabulary_size, "units": units, "embedding_dim": EMBEDDING}
        export(folder, shape)

        def worker(peer, threads, *calls):
            """A new worker, after each call `(name, arguments)`."""
            found = stack.enter_context(Worker(peer, threads))
            for name, arguments in calls:
                found(name, **arguments)
            return found

        made = ("make", {**shape, "folder": folder}), ("never_end", {})
        saved = {
            (name, threads): worker("saved", threads, ("load", {"folder": folder, "name": name}))
            for name in (*OURS, *FILES)
            for threads in (THREADS["saved"] if name in OURS else ("1",))
        }
        peers = {
            (peer, threads): worker(peer, threads, *made)
            for peer in ("torch", "keras")
            for threads in THREADS[peer]
        }
        floors = {threads: worker("ours", threads, made[0]) for threads in THREADS["ours"]}
        floors["litert"] = worker("saved", "1", ("load", {"folder": folder, "name": "floor.tflite"}))
        return [
            {
                "vocabulary_size": vocabulary_size,
                "units": units,
                "batch": batch,
                "ways": times(folder, batch, saved, peers, floors, repeats),
            }
            for batch in BATCHES
        ]


def export(folder, shape) -> None:
    """Writes the files, the sources, and the weights for the peers."""
    with Worker("ours", "1") as ours:
        ours("make", **shape, folder=folder)
        ours("export", max_length=STEPS, source_length=SOURCE_LENGTH)
        ours("export_floor", max_length=STEPS, source_length=SOURCE_LENGTH)
    for batch in BATCHES:
        source = np.random.default_rng(batch).integers(3, shape["vocabulary_size"], (batch, SOURCE_LENGTH))
        source[:, -1] = END_ID
        np.save(f"{folder}/source_{batch}.npy", source.astype("int32"))


def times(folder, batch, saved, peers, floors, repeats) -> dict:
    calls = {}
    for (name, threads), worker in saved.items():
        for signature in ("greedy_decode", "beam_decode") if name in OURS else ("greedy_decode",):
            if batch == 1 or name in OURS:
                calls[f"{name} {signature}", threads] = lambda w=worker, s=signature: w(
                    "decode", batch=batch, repeats=INNER, signature=s
                )
    for (peer, threads), worker in peers.items():
        inner = INNER if peer == "torch" else 1
        calls[peer, threads] = lambda w=worker, n=inner: w(
            "decode", batch=batch, repeats=n, max_length=STEPS
        )
    decoding = {"batch": batch, "source_length": SOURCE_LENGTH, "max_length": STEPS, "repeats": INNER}
    for threads in THREADS["ours"]:
        calls["floor", threads] = lambda w=floors[threads]: w("floor_decoding", **decoding)
    if batch == 1:
        calls["floor of LiteRT", "1"] = lambda: floors["litert"]("floor", repeats=INNER)
    found = in_turns(calls, repeats)
    check_tokens(folder, batch)
    one_core = {name: figures for (name, threads), figures in found.items() if threads == "1"}
    return {"best": best_threads(found), "one core": one_core}


def check_tokens(folder, batch) -> None:
    """Raises an error unless all wrote the same tokens; int8 may differ."""
    names = ["plain", "compiled", "torch", "keras", *(["float32.tflite"] if batch == 1 else [])]
    first, *others = (np.load(f"{folder}/tokens_greedy_decode_{batch}_{name}.npy") for name in names)
    assert first.shape == (batch, STEPS) and END_ID not in first
    for name, other in zip(names[1:], others, strict=True):
        rows = (first == other).all(axis=1).sum()
        # An untrained model has near ties, and batching may decide one of them differently.
        assert rows >= batch - batch // 16, f"{name} writes the same for only {rows} of {batch} sources."


def table(sizes: list[dict]) -> str:
    lines = [
        "| ids | units | batch | SavedModel | compiled for the batch | PyTorch | plain Keras "
        "| times PyTorch (SavedModel, compiled) | times plain Keras | the floor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        best = size["ways"]["best"]
        plain, compiled, torch, keras, floor = (
            best[name]["min"]
            for name in ("plain greedy_decode", "compiled greedy_decode", "torch", "keras", "floor")
        )
        lines.append(
            f"| {size['vocabulary_size']:,} | {size['units']} | {size['batch']} "
            f"| {cell(best['plain greedy_decode'])} | {cell(best['compiled greedy_decode'])} "
            f"| {cell(best['torch'])} | {cell(best['keras'])} "
            f"| {torch / plain:.1f}, {torch / compiled:.1f} | {keras / plain:.0f}, {keras / compiled:.0f} "
            f"| {1000 * floor:.2f} |"
        )
    return "\n".join(lines)


def litert_table(sizes: list[dict]) -> str:
    lines = [
        "| ids | units | SavedModel | compiled | LiteRT float32 | LiteRT int8 "
        "| times SavedModel (float32, int8) | LiteRT's floor, times it (float32, int8) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        if size["batch"] == 1:
            one = size["ways"]["one core"]
            names = ("plain", "compiled", *FILES)
            ways = [one[f"{name} greedy_decode"] for name in names]
            plain, _, *files = (way["min"] for way in ways)
            floor = one["floor of LiteRT"]["min"]
            cells = " | ".join(f"{1000 * way['min']:.2f} ({1000 * way['median']:.2f})" for way in ways)
            ratios = ", ".join(f"{plain / file:.1f}" for file in files)
            floors = ", ".join(f"{file / floor:.1f}" for file in files)
            lines.append(
                f"| {size['vocabulary_size']:,} | {size['units']} | {cells} | {ratios} "
                f"| {1000 * floor:.2f}, {floors} |"
            )
    return "\n".join(lines)


def beam_table(sizes: list[dict]) -> str:
    lines = [
        "| ids | units | batch | beam 5 | times greedy | compiled beam 5 | times compiled greedy |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        best = size["ways"]["best"]
        cells = []
        for name in OURS:
            beam, greedy = best[f"{name} beam_decode"], best[f"{name} greedy_decode"]
            cells.append(f"{cell(beam)} | {beam['min'] / greedy['min']:.2f}")
        lines.append(
            f"| {size['vocabulary_size']:,} | {size['units']} | {size['batch']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def cell(figures) -> str:
    return f"{1000 * figures['min']:.2f} ({1000 * figures['median']:.2f}; {figures['threads']})"
