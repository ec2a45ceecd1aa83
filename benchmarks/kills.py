"""Kills real processes at random moments and checks what they leave behind.

    python benchmarks/kills.py [--training 100] [--exports 100] [--translations 50] [--files 50]
        [--distillations 50] [--seed 0]

* A training is killed again and again after its first checkpoint, and resumed each time. After each kill
  the model must be readable, and the next process must continue.
* An export that replaces another is killed. After each kill the path must hold a complete export
  that works.
* `translate` is killed while it reads. The run must be unchanged.
* `translate` with two processes from file to file is killed and started again until it has finished. The
  output must be the one of a process that is left alone.
* The teacher of a distillation is killed and resumed until it has finished. It must write the same pairs as
  one that is left alone.

Prints how many processes were killed while they ran, and each bad state. 0 skips a campaign. The
model of the first campaign is used by all others but `--files`, which takes examples/models/g2p_en.tflite.
"""

import argparse
import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

MODEL = Path(__file__).parent.parent / "examples" / "models" / "g2p_en.tflite"
COMMAND = [sys.executable, "-m", "keras_attention.cli"]


def write_pairs(path, number=3000):
    draw = random.Random(0)
    words = ("".join(draw.choices("abcdefgh", k=draw.randint(2, 9))) for _ in range(number))
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    return path


def start(*arguments, **options):
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **options)


def kill_after(process, seconds) -> bool:
    """Kills a process after some seconds; returns whether it still ran."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def killed_trainings(folder, kills, draw):
    from keras_attention.models.translator import load_translator

    pairs, run, killed, bad = write_pairs(folder / "pairs.tsv"), folder / "run", 0, []
    options = ["--epochs", 100_000, "--patience", 100_000, "--units", 32, "--embedding-dim", 16]
    process = start("train", pairs, "--output", run, *options)
    for number in range(kills):
        known = (run / "history.json").read_text() if number else ""
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            history = run / "history.json"
            if history.exists() and history.read_text() != known:
                break
            time.sleep(0.05)
        else:
            process.kill()
            bad.append(f"training {number} did not continue: {process.communicate()[1].decode()[-300:]}")
            break
        killed += kill_after(process, draw.uniform(0, 3))
        try:
            load_translator(run / "translator.keras").translate(["abc"])
            json.loads((run / "history.json").read_text())
        except Exception as error:  # any error means a bad state
            bad.append(f"training {number}: {error!r}")
        process = start("train", pairs, "--output", run, "--resume")
    process.kill()
    process.communicate()
    return killed, bad


def killed_exports(folder, kills, draw, format_name, check):
    run, path, killed, bad = folder / "run", folder / f"export.{format_name}", 0, []
    command = ("export", run, "--output", path, "--overwrite", "--format", format_name)
    began = time.monotonic()
    start(*command).communicate()
    seconds = time.monotonic() - began
    for number in range(kills):
        killed += kill_after(start(*command), draw.uniform(0.3, 1) * seconds)
        try:
            check(path)
        except Exception as error:
            bad.append(f"{format_name} {number}: {error!r}")
    return killed, bad


def killed_translations(folder, kills, draw):
    run = folder / "run"

    def digest():
        files = sorted(path for path in run.rglob("*") if path.is_file())
        return [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]

    lines, before, killed, bad = folder / "lines.txt", digest(), 0, []
    lines.write_text("abcdef\n" * 200_000)
    for number in range(kills):
        with lines.open() as given:
            killed += kill_after(start("translate", run, stdin=given), draw.uniform(1, 8))
        if digest() != before:
            bad.append(f"translate {number} changed the run")
    return killed, bad


def killed_files(folder, kills, draw):
    draw_words = random.Random(1)
    lines, killed, bad, finished = folder / "words.txt", 0, [], 0
    lines.write_text("".join(f"{''.join(draw_words.choices('ABCDEFGH', k=6))}\n" for _ in range(5000)))
    # Short chunks, so that a kill finds many beginnings and ends of one.
    command = ("translate", MODEL, "--input", lines, "--workers", 2, "--batch-size", 8, "--output")
    began = time.monotonic()
    start(*command, folder / "whole.txt.gz").communicate()
    seconds, expected = time.monotonic() - began, gzip.decompress((folder / "whole.txt.gz").read_bytes())
    for number in range(kills):
        output = folder / f"{finished}.txt.gz"
        process = start(*command, output)
        killed += kill_after(process, draw.uniform(0.1, 0.7) * seconds)
        if process.returncode not in (0, -signal.SIGKILL):
            bad.append(f"{output.name} did not continue after kill {number}")
        if number == kills - 1 and not output.exists():
            start(*command, output).communicate()
        if output.exists():
            finished += 1
            if gzip.decompress(output.read_bytes()) != expected:
                bad.append(f"{output.name} after kill {number}: other answers")
    return killed, bad


def killed_distillations(folder, kills, draw):
    run, pairs = folder / "run", write_pairs(folder / "many.tsv", 20_000)

    def distill(output):
        resume = ["--resume"] if (output / "distilled.json").exists() else []
        return start("distill", run, pairs, "--output", output, "--beam", 2, *resume)

    def is_complete(output):
        progress = output / "distilled.json"
        return progress.exists() and json.loads(progress.read_text())["complete"]

    def pairs_of(output):
        """What the teacher writes if it is left alone from now on."""
        process = distill(output)
        while process.poll() is None and not is_complete(output):
            time.sleep(0.1)
        kill_after(process, 0)
        return (output / "distilled.tsv").read_bytes()

    began, expected = time.monotonic(), pairs_of(folder / "whole")
    seconds, killed, bad, finished = time.monotonic() - began, 0, [], 0
    for number in range(kills):
        output = folder / f"student-{finished}"
        process = distill(output)
        killed += kill_after(process, draw.uniform(0.3, 1) * seconds)
        if process.returncode != -signal.SIGKILL:
            bad.append(f"distill {number} did not continue")
        if is_complete(output) or number == kills - 1:
            finished += 1
            if pairs_of(output) != expected:
                bad.append(f"distill {number}: other pairs")
    return killed, bad


def main(options) -> int:
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (operators of the exported models)

    from keras_attention.export import LiteRTTranslator

    warnings.simplefilter("ignore")
    draw, failures = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def answers(path):
            translate = tf.saved_model.load(str(path)).signatures["translate"]
            assert translate(text=tf.constant(["abc"]))["text"].shape == (1,)

        def reads(path):
            assert len(LiteRTTranslator(path).translate(["abc"]).texts) == 1

        campaigns = {
            "training": (options.training, killed_trainings, ()),
            "SavedModel": (options.exports, killed_exports, ("saved_model", answers)),
            "LiteRT": (options.exports, killed_exports, ("litert", reads)),
            "translate": (options.translations, killed_translations, ()),
            "files": (options.files, killed_files, ()),
            "distill": (options.distillations, killed_distillations, ()),
        }
        for campaign, (kills, kill, more) in campaigns.items():
            if not kills:
                continue
            killed, bad = kill(folder, kills, draw, *more)
            failures += len(bad)
            print(f"{campaign}: {killed} killed while they ran, {len(bad)} bad states", flush=True)
            print("".join(f"  {line}\n" for line in bad), end="", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--training", type=int, default=100)
    parser.add_argument("--exports", type=int, default=100)
    parser.add_argument("--translations", type=int, default=50)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--distillations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.training and (options.exports or options.translations or options.distillations):
        parser.error("exports, translations and distillations need a model: --training 1")
    sys.exit(main(options))
