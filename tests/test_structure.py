"""The package as a whole: its imports, its wheel, its docstrings."""

import ast
import inspect
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention

ROOT = Path(__file__).parent.parent

# Each module imports only those before it.
ORDER = [
    "after_keras",
    "checksums",
    "archives",
    "files",
    "locks",
    "quiet",
    "ops",
    "choices",
    "tokens",
    "checks",
    "sources",
    "layers.configured",
    "layers.initializers",
    "layers.masking",
    "layers.states",
    "layers.scores",
    "layers.location",
    "layers.normalizers",
    "layers.monotonic",
    "layers.local",
    "layers.multi_head",
    "layers.loop",
    "layers.heads",
    "layers.hard_attention",
    "layers.named",
    "layers.context",
    "layers.recurrent_tensorflow",
    "layers.recurrent",
    "layers.embedding",
    "layers.stack",
    "layers.encoder",
    "layers.no_source",
    "layers.vector_encoder",
    "layers.model_encoder",
    "layers.features",
    "layers.unrolling",
    "layers.cell",
    "layers.bridge",
    "layers.decoder",
    "decoding.limits",
    "decoding.top_k",
    "decoding.buffers",
    "decoding.after_step",
    "decoding.strategy",
    "decoding.explanation",
    "decoding.sampling",
    "decoding.search_log",
    "decoding.search",
    "decoding.beam",
    "decoding.named",
    "text.unicode_rules",
    "text.training_texts",
    "text.pieces",
    "text.graph_pieces",
    "text.tokenizers",
    "text.directions",
    "text.inputs",
    "text.explanations",
    "text.translations",
    "text.rescoring",
    "text.pair_files",
    "text.batches",
    "text.datasets",
    "models.unfinished",
    "models.explaining",
    "models.generation",
    "models.encoder_contract",
    "models.seq2seq",
    "models.ensemble",
    "models.translator",
    "training.token_statistics",
    "training.replicas",
    "training.objectives",
    "training.attention_losses",
    "training.optimizers",
    "training.muon",
    "training.options",
    "training.folder",
    "training.logs",
    "training.devices",
    "training.last_words",
    "training.processes",
    "training.evaluate",
    "training.selection",
    "training.run",
    "training.split_pairs",
    "training.allocator",
    "training.precision",
    "training.new_translator",
    "training.compiling",
    "training.train",
    "training.teacher",
    "training.distilled_pairs",
    "training.distill",
    "export.compiled_shapes",
    "export.checked_inputs",
    "export.signatures",
    "export.destination",
    "export.example_sources",
    "export.associated_files",
    "export.description",
    "export.checksums",
    "export.write_saved_model",
    "export.litert_run",
    "export.litert_check",
    "export.litert_graphs",
    "export.require",
    "export.write_litert",
    "export.reads_exports",
    "export.litert_reader",
    "export.saved_model_reader",
    "export.formats",
    "export",
    "with_keras",
    "attention_page",
    "plotting",
    "loading",
    "file_translation",
    "training_commands",
    "commands",
    "arguments",
    "cli",
]
LATE_IMPORTS = {
    ("models.generation", "export"),
    ("models.translator", "export"),
}  # as in Keras' own Model.export
NEED_TENSORFLOW = {
    "layers.recurrent_tensorflow",
    "text.graph_pieces",
}
# These run on every backend, and import TensorFlow only if it is the backend.
PREFER_TENSORFLOW = {
    "decoding.buffers",
    "layers.embedding",
    "models.translator",
    "models.unfinished",
    "text.batches",
    "training.devices",
    "training.optimizers",
    "training.precision",
    "training.replicas",
    "training.token_statistics",
}
LIBRARIES = {
    "text.unicode_rules": {"sentencepiece"},
    "text.pieces": {"sentencepiece"},
    "text.graph_pieces": {"tensorflow_text"},
    "text.tokenizers": {"sentencepiece"},
    "text.batches": {"jax"},
    "training.evaluate": {"sacrebleu"},
    "training.processes": {"jax"},
    "plotting": {"matplotlib"},
    "export.write_saved_model": {"tensorflow_serving"},
    "export.litert_run": {"ai_edge_litert", "tensorflow_text"},
    "export.litert_check": {"ai_edge_litert"},
    "export.require": {"ai_edge_litert"},
    "export.litert_graphs": {"tensorflow_text"},
    "export.litert_reader": {"ai_edge_litert"},
    "export.saved_model_reader": {"tensorflow_text"},
}
FILES = [*(ROOT / "keras_attention").rglob("*.py"), *(ROOT / "export").glob("*.py")]


def module_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removeprefix("keras_attention.").removesuffix(".__init__")


def imports_of(file):
    """(module, is at the top) of each import in a file."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node in tree.body) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            siblings = "keras_attention.export." if node.level else ""  # only `export` imports relatively
            yield siblings + (node.module or node.names[0].name), node in tree.body


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_modules_import_only_earlier_ones(file):
    mine = module_name(file)
    if file.name == "__init__.py" and mine != "export":
        assert mine == "__init__" or not list(imports_of(file))
        return
    for imported, at_top in imports_of(file):
        assert imported != "keras_attention"
        name = imported.removeprefix("keras_attention.")
        if name == imported or (mine, name, at_top) in {(*pair, False) for pair in LATE_IMPORTS}:
            continue
        assert ORDER.index(name) < ORDER.index(mine), f"{mine} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_only_public_keras_and_tensorflow_where_it_belongs(file):
    mine = module_name(file)
    allowed = {"keras", "numpy", "keras_attention"} | set(sys.stdlib_module_names)
    allowed |= LIBRARIES.get(mine, set())
    if mine in NEED_TENSORFLOW or mine.startswith("export"):
        allowed.add("tensorflow")
    for imported, at_top in imports_of(file):
        late = {"tensorflow"} if mine in PREFER_TENSORFLOW and not at_top else set()
        assert imported.split(".")[0] in allowed | late
        assert not imported.startswith("keras.src")


def test_decoding_knows_no_model():
    known = {
        "copy",
        "collections.abc",
        "contextlib",
        "contextvars",
        "functools",
        "math",
        "tensorflow",  # its lists of tensors, only on TensorFlow
        "typing",
        "keras",
        "numpy",
        "keras_attention.layers.masking",
    }
    known |= {f"keras_attention.{name}" for name in ("tokens", "checks", "choices", "ops")}
    for file in (ROOT / "keras_attention" / "decoding").glob("*.py"):
        for imported, _ in imports_of(file):
            assert imported in known or imported.startswith("keras_attention.decoding."), file


def test_every_public_name_is_documented():
    for name in keras_attention.__all__:
        public = getattr(keras_attention, name)
        assert isinstance(public, int) or public.__doc__, name


def test_every_keras_class_is_registered_under_the_package():
    for name in keras_attention.__all__:
        public = getattr(keras_attention, name)
        if not isinstance(public, type) or public.__name__ in (
            "Score",
            "Normalizer",
            "Head",
        ):  # base classes
            continue
        if issubclass(public, keras.Layer | keras.Loss | keras.Metric):
            assert keras.saving.get_registered_name(public) == f"keras_attention>{name}"


def test_the_wheel_holds_both_packages(tmp_path):
    """Built from the sdist, and imported from another directory, without the checkout in the way."""
    source = tmp_path / "source"
    for folder in ("keras_attention", "export"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source]
    subprocess.run(command, check=True, capture_output=True)
    wheel, sdist = sorted((tmp_path / "dist").iterdir(), key=lambda path: path.suffix != ".whl")
    command = [sys.executable, "-m", "twine", "check", "--strict", wheel, sdist]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import keras_attention, keras_attention.export as export\n"
        "print(keras_attention.__file__, export.__file__, export.saved_model.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    package, export, name = done.stdout.split()
    assert package == str(tmp_path / "site/keras_attention/__init__.py")
    assert export == str(tmp_path / "site/keras_attention/export/__init__.py")
    assert name == "saved_model"


EXAMPLES = [
    name for name in keras_attention.__all__ if "Example:" in (getattr(keras_attention, name).__doc__ or "")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_each_docstring_runs(name):
    documentation = inspect.getdoc(getattr(keras_attention, name))
    code = textwrap.dedent(documentation.split("Example:\n")[1].split("\n\nRef")[0])
    encoder = keras_attention.Encoder(50, 16, 32)
    source = np.array([[7, 5, 2], [9, 2, 0]])
    memory, final_state = encoder(source)
    tokenizer = keras_attention.SentencePieceTokenizer.train(["abc", "5.4.18"], "char")
    size = tokenizer.vocabulary_size
    model = keras_attention.Seq2Seq(
        keras_attention.Encoder(size, 4, 4), keras_attention.AttentionDecoder(size, 4, 4)
    )
    names = {
        "model": model,
        "decoder": keras_attention.AttentionDecoder(50, 16, 32),
        "encoder": encoder,
        "translator": keras_attention.Translator(model, tokenizer, tokenizer, 20, 20),
        "tf": tf,
        "keras": keras,
        "keras_attention": keras_attention,
        "np": np,
        "source": source,
        "target": np.array([[5, 2], [7, 2]]),
        "embedded": encoder.embedding(source)[:, 0],
        "query": final_state,
        "memory": memory,
        "final_state": final_state,
        "memory_mask": source != 0,
        "states": [final_state],
        "logits": np.zeros((2, 2, 9), "float32"),
        "source_mask": source != 0,
        "start_tokens": keras.ops.full((2,), 2, dtype="int32"),
        "step": lambda tokens, states: (keras.ops.zeros((2, 5)), states, keras.ops.ones((2, 3)) / 3),
    }
    exec(compile(code, name, "exec"), names)
