"""The training step as the command `train` compiles it, compared with the bare step and with PyTorch."""

import contextlib
import tempfile

from bench_training import BATCH, EMBEDDING, SIZES
from workers import Worker, in_turns


def measure(repeats: int) -> list[dict]:
    """The CPU milliseconds of a step for each size, on one core with our batches."""
    return [steps(*size, repeats) for size in SIZES]


def steps(vocabulary_size, profile, units, num_batches, repeats) -> dict:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        shape = {"vocabulary_size": vocabulary_size, "units": units, "embedding_dim": EMBEDDING}
        calls = {}
        for as_trained in (False, True):
            ours = stack.enter_context(Worker("ours", "1"))
            ours("make", **shape, folder=folder, as_trained=as_trained)
            ours("data", profile=profile, pairs=num_batches * BATCH, batch_size=BATCH)
            torch = stack.enter_context(Worker("torch", "1"))
            torch("make", **shape, folder=folder, as_trained=as_trained)
            torch("data", names=["bucketed"])
            kind = "as trained" if as_trained else "bare"
            calls[f"ours, {kind}"] = lambda w=ours: w("train")
            calls[f"PyTorch, {kind}"] = lambda w=torch: w("train", name="bucketed")
        times = in_turns(calls, repeats)
    milliseconds = {name: 1000 * figures["cpu"] / num_batches for name, figures in times.items()}
    return {"vocabulary_size": vocabulary_size, "units": units, "milliseconds": milliseconds}


def table(sizes: list[dict]) -> str:
    lines = [
        "| ids | units | bare | as `train` compiles it | relative to bare | PyTorch, bare "
        "| PyTorch with the same | times PyTorch (bare, with the same) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        ms = size["milliseconds"]
        bare, trained = ms["ours, bare"], ms["ours, as trained"]
        theirs, theirs_trained = ms["PyTorch, bare"], ms["PyTorch, as trained"]
        lines.append(
            f"| {size['vocabulary_size']:,} | {size['units']} | {bare:.1f} | {trained:.1f} "
            f"| {trained / bare:.2f} | {theirs:.1f} | {theirs_trained:.1f} "
            f"| {theirs / bare:.2f}, {theirs_trained / trained:.2f} |"
        )
    return "\n".join(lines)
