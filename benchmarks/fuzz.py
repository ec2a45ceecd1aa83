"""Reads damaged files of one kind and counts the outcomes.

    python benchmarks/fuzz.py KIND [--files 10000] [--seed 0]

KIND is keras, npz, json, tflite, saved_model (a folder, in a zip archive), tsv or gzip. The script makes a
good file of the kind and damages it in many ways: it changes, removes, inserts, repeats or zeroes bytes, or
cuts off the end. In every second archive, it damages the contents rather than the archive itself. A child
process reads each damaged file as the package does. The file must be read, or be refused with an error that
the command line prints as one line. Any other error is a failure, and so are a crash, more than 10 seconds,
and more than 500 MB of memory above what the good file takes. Files that fail are kept in --output.
"""

import argparse
import collections
import gzip
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from keras_attention.archives import check_unpacked_size

KINDS = ("keras", "npz", "json", "tflite", "saved_model", "tsv", "gzip")
REFUSED = (OSError, ValueError, TypeError, ImportError)  # what the command line prints as one line
SECONDS, MEGABYTES = 10, 500
ODD = [
    b"\0",
    b"\xff\xfe",
    b"\t",
    b"\n",
    b"\r",
    "\u2028".encode(),
    b"-1",
    b"1e999",
    b"null",
    b"[",
    b"{",
    b'"',
]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The content after one to four random changes."""
    content = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice((1, 2, 8, 64, 1000)))
        change = draw.randrange(8)
        if change == 0:
            content[start:end] = draw.randbytes(end - start)
        elif change == 1:
            del content[start:end]
        elif change == 2:
            content[start:start] = draw.choice(ODD) * draw.choice((1, 2, 50))
        elif change == 3:
            content[start:end] = bytes(end - start)
        elif change == 4:
            content[start:start] = content[start:end] * draw.choice((1, 100, 10_000))
        elif change == 5:
            del content[start:]
        elif change == 6 and content:
            content[start % len(content)] ^= 1 << draw.randrange(8)
        else:
            other = draw.randrange(len(content) + 1)
            content[start:end] = content[other : other + end - start]
    return bytes(content)


def damaged_within(content: bytes, draw: random.Random) -> bytes:
    """An archive whose contents are damaged, packed again; other content is damaged directly."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(damaged(gzip.decompress(content), draw), compresslevel=1)
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return damaged(content, draw)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as again:
        start = min(member.header_offset for member in archive.infolist())
        chosen = draw.choice(archive.namelist())
        for name in archive.namelist():
            member = archive.read(name)
            again.writestr(name, damaged(member, draw) if name == chosen else member)
    return content[:start] + written.getvalue()  # a LiteRT file is a model and then an archive


def make_good_file(kind, folder: Path):
    """A good file, and the function that reads one of its kind."""
    if kind in ("tsv", "gzip"):
        from keras_attention.text.pair_files import BadLines, read_pairs

        text = "".join(f"{'ab' * (i % 7 + 1)}\tœ{i} b a\n" for i in range(300)).encode()
        path = folder / f"good.{kind}"
        path.write_bytes(gzip.compress(text) if kind == "gzip" else text)
        return path, lambda path: collections.deque(read_pairs(path, BadLines()), maxlen=0)
    if kind == "json":
        from keras_attention.training.options import Options

        path = folder / "good.json"
        path.write_text(Options().to_json())
        return path, Options.from_json
    import keras_attention as ka
    from keras_attention.models.translator import load_translator
    from keras_attention.training.run import load_checkpoint, new_state, save_checkpoint

    tokenizer = ka.SentencePieceTokenizer.train(["anna", "otto", "baum"] * 5, "char", 40)
    size = tokenizer.vocabulary_size
    model = ka.Seq2Seq(ka.Encoder(size, 4, 4), ka.AttentionDecoder(size, 4, 4))
    translator = ka.Translator(model, tokenizer, tokenizer, 12, 9)
    if kind == "keras":
        translator.save(folder / "good.keras")
        return folder / "good.keras", load_translator
    if kind == "npz":
        model.compile(ka.Muon(0.01), ka.TokenCrossentropy())
        model.optimizer.build(model.trainable_variables)
        save_checkpoint(model, new_state(), folder / "good.npz")
        return folder / "good.npz", lambda path: load_checkpoint(model, path)
    if kind == "saved_model":
        translator.export(folder / "good", signatures=["greedy_decode"], warmup=False, overwrite=True)
        return Path(shutil.make_archive(folder / "good", "zip", folder / "good")), read_saved_model
    path = translator.export(folder / "good.tflite", "litert", signatures=["greedy_decode"], overwrite=True)
    return path, lambda path: ka.export.LiteRTTranslator(path).translate(["anna", "otto"])


def read_saved_model(archive) -> None:
    """Translates with the SavedModel in an archive. An archive that cannot be unpacked is refused."""
    from keras_attention.export import SavedModelTranslator

    with tempfile.TemporaryDirectory() as folder:
        try:
            check_unpacked_size(archive)
            shutil.unpack_archive(archive, folder, "zip")
        except Exception as error:
            raise ValueError from error
        SavedModelTranslator(folder).translate(["anna", "otto"])


def child(kind, folder, pipe) -> None:
    """Reads the files whose paths come through the pipe, and answers with the outcome of each."""
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    os.dup2(sys.stderr.fileno(), 2)
    import keras_attention.export  # noqa: F401

    path, read = make_good_file(kind, Path(folder))
    read(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send(str(path))
    while True:
        try:
            path = Path(pipe.recv())
        except EOFError:  # the parent has ended
            return
        try:
            read(path)
            outcome = "read"
        except REFUSED:
            outcome = "refused"
        except BaseException as error:  # would be a traceback
            outcome = f"traceback: {type(error).__name__}: {str(error)[:200]}"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
        pipe.send(f"memory: {grown:.0f} MB, {outcome}" if grown > MEGABYTES else outcome)


class Reader:
    """A child process that reads files; after a failure, make a new one."""

    def __init__(self, kind, folder):
        self.pipe, other = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=child, args=(kind, folder, other)
        )
        self.process.start()
        other.close()
        self.good = Path(self.pipe.recv())

    def read(self, path) -> str:
        self.pipe.send(path)
        if not self.pipe.poll(SECONDS):
            self.process.kill()
            return f"hang of more than {SECONDS} s"
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            return f"crash with exit code {self.process.exitcode}"


def main(options) -> int:
    options.output.mkdir(parents=True, exist_ok=True)
    draw, outcomes = random.Random(options.seed), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(options.kind, folder)
        good = reader.good.read_bytes()
        path = reader.good.with_stem("damaged")
        for number in range(options.files):
            path.write_bytes((damaged, damaged_within)[number % 2](good, draw))
            outcome = reader.read(str(path))
            outcomes[outcome.split(":")[0].split(" of")[0]] += 1
            if outcome not in ("read", "refused"):
                kept = options.output / f"{options.seed}-{number}{path.suffix}"
                kept.write_bytes(path.read_bytes())
                print(f"{kept}: {outcome}", flush=True)
                reader.process.kill()
                reader = Reader(options.kind, folder)
        reader.pipe.close()
    print(json.dumps({"kind": options.kind, "seed": options.seed, "files": options.files, **outcomes}))
    return int(outcomes.keys() - {"read", "refused"} != set())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="where failures are kept")
    sys.exit(main(parser.parse_args()))
