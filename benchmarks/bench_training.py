"""Training: real target tokens per second, and the peak memory of a step."""

import contextlib
import tempfile

import numpy as np
from workers import THREADS, Worker, in_turns

EMBEDDING = 128
BATCH = 64
# vocabulary, lengths, units, batches
SIZES = [
    (50, "words", 128, 60),
    (50, "words", 256, 30),
    (50, "words", 512, 12),
    (8000, "sentences", 128, 16),
    (8000, "sentences", 256, 10),
    (8000, "sentences", 512, 6),
]
SAME = 1e-4  # largest difference between logits
SAME_AFTER_A_STEP = 1e-2


def measure(repeats: int) -> list[dict]:
    """The seconds of each peer for each size, with its best number of threads."""
    return [speed(*size, repeats) for size in SIZES]


def speed(vocabulary_size, profile, units, num_batches, repeats) -> dict:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        shape = {"vocabulary_size": vocabulary_size, "units": units, "embedding_dim": EMBEDDING}
        calls = {}
        for threads in THREADS["ours"]:
            ours = stack.enter_context(Worker("ours", threads))
            ours("make", **shape, folder=folder)
            data = ours("data", profile=profile, pairs=num_batches * BATCH, batch_size=BATCH)
            calls["keras_attention", threads] = lambda w=ours: w("train")
            calls["matrix multiplications alone", threads] = lambda w=ours: w("floor_training")
        for threads in THREADS["torch"]:
            torch = stack.enter_context(Worker("torch", threads))
            torch("make", **shape, folder=folder)
            torch("data", names=["random", "bucketed"])
            for name, batches in (("random", "random batches"), ("bucketed", "our batches")):
                calls[f"PyTorch, {batches}", threads] = lambda w=torch, n=name: w("train", name=n)
        for threads in THREADS["keras"]:
            plain = stack.enter_context(Worker("keras", threads))
            plain("make", **shape, folder=folder)
            plain("data", batch_size=BATCH)
            for name, batches in (("random", ""), ("bucketed", ", our batches")):
                calls[f"plain Keras{batches}", threads] = lambda w=plain, n=name: w("train", name=n)
        check_logits(folder, ours, torch, plain)
        times = in_turns(calls, repeats)
        return {
            "vocabulary_size": vocabulary_size,
            "units": units,
            "target_tokens": data["target_tokens"],
            "padding": data["padding"],
            "peers": best_threads(times),
            "one core": {name: figures for (name, threads), figures in times.items() if threads == "1"},
        }


def check_logits(folder, *workers) -> None:
    """Raises an error unless all models give the same logits for a batch, before and after a step on it."""
    for worker in workers:
        worker("logits")
    ours, *others = (np.load(f"{folder}/logits_{name}.npy") for name in ("ours", "torch", "keras"))
    real = np.load(f"{folder}/random.npz")["answers_0"] != 0
    for other in others:
        before, after = (np.abs(a - b)[real].max() for a, b in zip(ours, other, strict=True))
        assert before < SAME, f"The peers' logits differ by {before}."
        # Adam's first step has the size of the learning rate even where the gradient is nearly zero.
        assert after < SAME_AFTER_A_STEP, f"After a step the peers' logits differ by {after}."


def best_threads(times: dict) -> dict:
    """`{(name, threads): figures}` -> `{name: figures of the fastest setting, and its threads}`."""
    best = {}
    for (name, threads), figures in times.items():
        if name not in best or figures["min"] < best[name]["min"]:
            best[name] = {**figures, "threads": threads}
    return best


def memory() -> dict:
    """Resident megabytes at V = 32,000: before the first training step, and the peak of two."""
    shape = {"vocabulary_size": 32_000, "units": 256, "embedding_dim": EMBEDDING}
    thirty = {"profile": "thirty", "pairs": 2 * BATCH, "batch_size": BATCH}
    data = {
        "ours": thirty,
        "torch": {"names": ["random"]},
        "keras": {"batch_size": BATCH},
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        with Worker("ours", "1") as writer:  # writes what all read; it is not measured
            writer("make", **shape, folder=folder)
            writer("data", **thirty)
        for peer, arguments in data.items():
            with Worker(peer, "1") as worker:
                worker("make", **shape, folder=folder)
                before = worker("data", **arguments)["now_mb"]
                peak = worker("train", **({} if peer == "ours" else {"name": "random"}))["peak_mb"]
            found[peer] = {"before": before, "peak": peak}
    return found


def table(sizes: list[dict]) -> str:
    lines = [
        "| ids | units | keras_attention, tokens/s | PyTorch, our batches | PyTorch, random batches "
        "| plain Keras, our batches | plain Keras | times PyTorch (our, random batches) "
        "| times plain Keras (our batches, its own) | times the floor (best threads, one core) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        peers, tokens = size["peers"], size["target_tokens"]
        seconds = {name: figures["min"] for name, figures in peers.items()}
        ours = seconds["keras_attention"]
        one = size["one core"]
        one_core = one["keras_attention"]["min"] / one["matrix multiplications alone"]["min"]

        def cell(name, peers=peers, tokens=tokens):
            figures = peers[name]
            fastest, middle = tokens / figures["min"], tokens / figures["median"]
            return f"{fastest:,.0f} ({middle:,.0f}; {figures['cpu']:.2f} s, {figures['threads']})"

        lines.append(
            f"| {size['vocabulary_size']:,} | {size['units']} | {cell('keras_attention')} "
            f"| {cell('PyTorch, our batches')} | {cell('PyTorch, random batches')} "
            f"| {cell('plain Keras, our batches')} | {cell('plain Keras')} "
            f"| {seconds['PyTorch, our batches'] / ours:.2f}, "
            f"{seconds['PyTorch, random batches'] / ours:.2f} "
            f"| {seconds['plain Keras, our batches'] / ours:.2f}, {seconds['plain Keras'] / ours:.2f} "
            f"| {ours / seconds['matrix multiplications alone']:.2f}, {one_core:.2f} |"
        )
    return "\n".join(lines)


def memory_table(found: dict) -> str:
    names = {"ours": "keras_attention", "torch": "PyTorch", "keras": "plain Keras"}
    lines = ["| | MB before the first step | peak MB | the steps' share |", "|---|---|---|---|"]
    for peer, mb in found.items():
        grown = mb["peak"] - mb["before"]
        lines.append(f"| {names[peer]} | {mb['before']:,.0f} | {mb['peak']:,.0f} | {grown:,.0f} |")
    return "\n".join(lines)
