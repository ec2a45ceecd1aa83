"""A student learns what its teacher writes, and the teacher's work survives a kill."""

import json
import re

import keras
import numpy as np
import pytest
from test_translator import make_translator, write_pairs

import keras_attention as ka
import keras_attention.training_commands as commands
from keras_attention.cli import main
from keras_attention.loading import load
from keras_attention.models.translator import load_translator
from keras_attention.text.pair_files import Pair, read_pairs
from keras_attention.text.translations import TranslatesTexts
from keras_attention.tokens import pad
from keras_attention.training import distilled_pairs
from keras_attention.training.distill import write_pairs as write_for_student
from keras_attention.training.options import Options
from keras_attention.training.split_pairs import splitter
from keras_attention.training.teacher import Teacher, most_repeats

TOKENIZER = ka.SentencePieceTokenizer.train(["abcdefgh ", "hgfedcba"], "char", 30)
UNENDING = "..."  # the end of a text that has no end id


class Scripted(TranslatesTexts):
    """A translator whose hypotheses are scripted: a function from a source to texts, the best first."""

    source_tokenizer = target_tokenizer = TOKENIZER
    max_source_length, max_target_length, too_long = 12, 10, "refuse"
    weights, seq2seq = (), None

    def __init__(self, script):
        self.script = script

    def check_strategy(self, strategy):
        return strategy, self.max_target_length

    def decode_ids(self, source, strategy, max_length, prefix, noise):
        rows = [self.script(text)[: strategy.n_best] for text in TOKENIZER.texts_of(source)]
        ids = [_ids(text) for row in rows for text in row]
        shape = len(rows), len(rows[0])
        tokens = pad([*ids, np.zeros(max_length)])[:-1].reshape(*shape, max_length)
        lengths, scores = np.array([*map(len, ids)]).reshape(shape), -np.ones(shape)
        attention = np.zeros((*tokens.shape, source.shape[1]))
        return ka.Decoded(tokens, lengths, scores, np.zeros(tokens.shape), attention)


def _ids(text):
    (ids,) = TOKENIZER.ids_of([text.removesuffix(UNENDING).encode()])
    return ids[:-1] if text.endswith(UNENDING) else ids


def teacher_of(script, targets="teacher", width=3):
    script = script if callable(script) else script.__getitem__
    return Teacher(Scripted(script), ka.Beam(width), targets)


@pytest.mark.parametrize(
    ("items", "most"), [("", 0), ("a", 1), ("abab", 2), ("xababab", 3), ("aaaa", 4), ("abcabcaab", 2)]
)
def test_repeats_in_a_row(items, most):
    assert most_repeats(items) == most
    if items:
        assert most_repeats(items * 5) >= 5


def test_outputs_that_are_not_fit_are_named():
    script = {
        "a": ["abc"],
        "b": ["cababab"],
        "c": ["abcdefghab..."],
        "d": ["  "],
        "e" * 12: ["not asked for"],
        "bbb": ["aaa"],
        "f": ["ccc"],
    }
    references = {"f": "bbb"}  # as repetitive as the output
    found = teacher_of(script).targets_of([Pair(1, text, references.get(text, "a")) for text in script])
    assert found == [
        ("abc", None),
        (None, "because it loops"),
        (None, "because it reaches the limit"),
        (None, "because it is empty or not one line"),
        (None, "because the source has more than 12 ids"),
        ("aaa", None),
        ("ccc", None),
    ]


def test_the_nearest_fit_hypothesis():
    teacher = teacher_of({"a": ["abcd", "fecd", "fecdfecdfe..."]}, "nearest")
    assert teacher.targets_of([Pair(1, "a", "fec")]) == [("fecd", None)]
    assert teacher.targets_of([Pair(1, "a", "abcc"), Pair(2, "a")]) == [("abcd", None)] * 2
    teacher = teacher_of({"a": ["dcbadcbadc...", "abcd"]}, "nearest", 2)
    assert teacher.targets_of([Pair(1, "a", "x")]) == [("abcd", None)]


def reversed_or_looping(source):
    return ["abababab"] if source.endswith("h") else [source[::-1] + "g"]


@pytest.fixture
def files(tmp_path):
    """40 pairs, of which about half are held out, and 20 sources without a target."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefgh"), 4)) for _ in range(60)]
    (tmp_path / "train.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words[:40]) + "bad\n")
    (tmp_path / "sources.txt").write_text("".join(f"{word}\n" for word in words[40:]) + "a\tb\n")
    return tmp_path / "train.tsv", tmp_path / "sources.txt"


OPTIONS = Options(validation_split=0.5)
LINES = '{"recipe": {}, "options": {}, "lines": {}}'


def write(files, output, targets="teacher", script=reversed_or_looping, validation=None, **options):
    said = []
    arguments = {"options": OPTIONS, "resume": False, "strict": False, "say": said.append, **options}
    write_for_student(teacher_of(script, targets), *files, validation, output, **arguments)
    return (output / "distilled.tsv").read_text().splitlines(), said


@pytest.mark.parametrize("targets", ["teacher", "both"])
def test_held_out_pairs_keep_their_references_and_everything_is_counted(files, tmp_path, targets):
    lines, said = write(files, tmp_path / "run", targets)
    is_training, expected, loops = splitter(OPTIONS, None), [], 0
    for pair in read_pairs(files[0]):
        if not is_training(pair):
            expected.append(f"{pair.source}\t{pair.target}")
            continue
        loops += pair.source.endswith("h")
        if not pair.source.endswith("h"):
            expected.append(f"{pair.source}\t{pair.target}g")
        if targets == "both":
            expected.append(f"{pair.source}\t{pair.target}")
    sources = list(read_pairs(files[1], columns=("source",)))
    taught = [pair.source for pair in sources if is_training(pair)]
    expected += [f"{text}\t{text[::-1]}g" for text in taught if not text.endswith("h")]
    assert lines == expected
    held_out = len(sources) - len(taught)
    assert loops and held_out
    report = "\n".join(said)
    kinds = [int(count) for count in re.findall(r"(\d+) (?:in which|of the|held)", said[0])]
    assert sum(kinds) == len(lines)
    assert kinds[0] == 0  # it never agrees with the reference
    assert f"{loops} line{'s' * (loops > 1)} whose output is left out, because it loops" in report
    assert (
        f"{held_out} lines whose output is left out, because the source is held out for validation"
        in report
    )
    assert "1 line left out, not one tab: 41" in report
    assert "1 line left out, a tab: 21" in report
    with_validation, _ = write(files, tmp_path / "other", targets, validation=files[0])
    assert sum(line.endswith("g") for line in with_validation) > sum(line.endswith("g") for line in lines)


def test_a_teacher_that_was_killed_continues_where_it_was(files, tmp_path, monkeypatch):
    monkeypatch.setattr(distilled_pairs, "CHUNK", 7)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected, said = write(files, whole, "both")
    calls = iter(range(1000))

    def killed_at_times(source):
        if next(calls) in (9, 16, 17, 25):
            raise KeyboardInterrupt
        return reversed_or_looping(source)

    killed, resume = 0, False
    while True:
        try:
            found, last_said = write(files, parts, "both", killed_at_times, resume=resume)
            break
        except KeyboardInterrupt:
            killed, resume = killed + 1, True
            with (parts / "distilled.tsv").open("a") as file:  # as a kill amid writing leaves it
                file.write("half a li")
    assert killed == 4
    assert found == expected
    assert json.loads((parts / "distilled.json").read_text()) == json.loads(
        (whole / "distilled.json").read_text()
    )
    assert [line.replace("parts", "whole") for line in last_said] == said
    assert write(files, parts, "both", resume=True)[0] == expected  # nothing is left to do
    monkeypatch.setattr(Scripted, "seq2seq", keras.layers.Identity())  # say, an ensemble with other weights
    with pytest.raises(ValueError, match="another teacher"):
        write(files, parts, "both", resume=True)


def test_a_teacher_that_repeats_the_references_is_reported(files, tmp_path):
    _, said = write(files, tmp_path / "run", script=reversed_or_looping)
    assert not any("repeats nearly all references" in line for line in said)
    _, said = write((files[0], None), tmp_path / "other", script=lambda source: [source[::-1]])
    assert "repeats nearly all references" in said[1]


def test_an_error_before_the_first_chunk_leaves_nothing(files, tmp_path):
    with pytest.raises(ValueError, match="Line 41 is not a pair"):
        write(files, tmp_path / "run", strict=True)
    (tmp_path / "bad.tsv").write_text("bad\n")
    with pytest.raises(
        ValueError, match=r"There are no pairs in .*bad.tsv\. 1 line left out, not one tab: 1"
    ):
        write((tmp_path / "bad.tsv", None), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_distillation_keeps_what_the_pairs_depend_on(files, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="no distillation to resume"):
        write(files, run, resume=True)
    write(files, run)
    with pytest.raises(FileExistsError, match="There is a training in"):
        write(files, run)
    for changed, name in (({"targets": "both"}, "targets"), ({"validation": files[0]}, "validation_file")):
        with pytest.raises(ValueError, match=f"Received: another {name}"):
            write(files, run, resume=True, **changed)
    with pytest.raises(ValueError, match="another train_file, sources_file"):
        write((files[1], None), run, resume=True)
    with pytest.raises(ValueError, match=r"may change\. Received: units=8"):
        write(files, run, resume=True, options=Options(units=8))
    with pytest.raises(ValueError, match="must not name features for this teacher"):
        write(files, tmp_path / "new", options=Options(columns=("source", "target", "features")))
    for damage in ("{}", "[", '{"recipe": {}, "options": {}, "size": 9000}', LINES):
        (run / "distilled.json").write_text(damage)
        with pytest.raises(ValueError, match=r"distilled.json does not describe a distillation"):
            write(files, run, resume=True)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """The folder of an ensemble of untrained models, and its translator."""
    keras.utils.set_random_seed(2)  # some outputs end, some loop
    folder = tmp_path_factory.mktemp("ensemble")
    members = [make_translator(), make_translator()]
    together = members[0].with_seq2seq(ka.Ensemble([member.seq2seq for member in members]))
    together.seq2seq.run_eagerly = True
    together.save(folder / "translator.keras")
    (folder / "ensemble.json").write_text('{"columns": ["source", "target"]}')
    return folder, together


def test_an_ensemble_becomes_one_model(ensemble, tmp_path, monkeypatch, capsys):
    teacher, translator = ensemble
    monkeypatch.setattr(commands, "load", lambda run: translator)  # eager: tracing a beam takes longer
    pairs, run = write_pairs(tmp_path / "pairs.tsv", 50), tmp_path / "run"
    command = ["distill", str(teacher), str(pairs), "--output", str(run), "--beam", "2"]
    command += ["--targets", "both", "--validation-split", "0.1"]
    small = ["--units", "8", "--embedding-dim", "4", "--no-input-feeding"]
    assert main([*command, *small, "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "whose output is left out, because it" in out
    assert "epoch" in out
    lines = set((run / "distilled.tsv").read_text().splitlines())
    given = [pair for pair in read_pairs(pairs) if splitter(Options(validation_split=0.1), None)(pair)]
    texts = translator.translate([pair.source for pair in given], ka.Beam(2)).texts
    taught = [f"{pair.source}\t{text}" in lines for pair, text in zip(given, texts, strict=True)]
    left_out = json.loads((run / "distilled.json").read_text())["unfit"]["train_file"]["counts"].values()
    assert sum(taught) > 0
    assert len(taught) - sum(taught) == sum(left_out)
    assert all(f"{pair.source}\t{pair.target}" in lines for pair in read_pairs(pairs))
    assert load_translator(run / "translator.keras").seq2seq.decoder.units == 8
    assert main([*command, "--epochs", "1", "--resume"]) == 0
    assert len(json.loads((run / "history.json").read_text())) == 1
    assert main([*command, "--resume", "--units", "16"]) == 2
    assert "may change. Received: units=16" in capsys.readouterr().err
    assert main([*command, "--resume", "--beam", "3"]) == 2
    assert "Received: another strategy" in capsys.readouterr().err


def test_the_student_keeps_the_options_of_the_first_call(ensemble, tmp_path, monkeypatch):
    """Also after a kill between the teacher and the training; then only the end may change."""
    pairs, run, calls = write_pairs(tmp_path / "pairs.tsv", 9), tmp_path / "run", []

    def record(options, output, given, resume):
        calls.append((options.train_file, output.name, given.get("units"), given.get("epochs"), resume))

    monkeypatch.setattr(commands, "_train", record)
    monkeypatch.setattr(commands, "load", lambda run: ensemble[1])
    command = ["distill", str(ensemble[0]), str(pairs), "--output", str(run), "--seeds", "2", "--beam", "1"]
    assert main([*command, "--units", "8"]) == 0
    file = run / "distilled.tsv"
    assert calls == [(file, "seed-0", 8, None, False), (file, "seed-1", 8, None, False)]
    calls.clear()
    assert main([*command, "--epochs", "3", "--resume"]) == 0
    assert calls == [(file, "seed-0", 8, 3, False), (file, "seed-1", 8, 3, False)]
    (run / "seed-0").mkdir()
    (run / "seed-0" / "config.json").write_text(Options(units=8).to_json())
    calls.clear()
    assert main([*command, "--resume"]) == 0
    assert calls == [(file, "seed-0", None, None, True), (file, "seed-1", 8, None, False)]


def test_distill_trains_on_what_the_teacher_wrote(files, tmp_path, monkeypatch):
    calls, translator = [], Scripted(reversed_or_looping)
    monkeypatch.setattr(
        "keras_attention.training.distill.train", lambda *arguments: calls.append(arguments)
    )
    output, quiet = tmp_path / "run", {"say": lambda line: None}
    ka.distill(translator, files[0], output, OPTIONS, strategy=ka.Beam(2), **quiet)
    ka.distill(translator, files[0], output, strategy=ka.Beam(2), resume=True, **quiet)
    (output / "config.json").write_text(OPTIONS.to_json())  # the training has begun
    ka.distill(translator, files[0], output, Options(epochs=3), strategy=ka.Beam(2), resume=True, **quiet)
    assert [arguments[0] for arguments in calls] == [output / "distilled.tsv"] * 3
    assert [arguments[2] for arguments in calls] == [OPTIONS, OPTIONS, Options(epochs=3)]
    assert [arguments[4] for arguments in calls] == [False, False, True]  # resume


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing", "{pairs}"], "There is no trained model at nothing"),
        (["model.tflite", "{pairs}"], "model.tflite is an export"),
        (["{teacher}", "nothing.tsv"], "nothing.tsv"),
        (["{teacher}", "{pairs}", "--resume"], "no distillation to resume in run"),
        (["{teacher}", "{pairs}", "--sources", "nothing.txt"], "nothing.txt"),
        (["{teacher}", "{pairs}", "--validation", "nothing.tsv"], "nothing.tsv"),
        (["{teacher}", "{pairs}", "--columns", "source,target,features"], "must not name features"),
        (["{teacher}", "{pairs}", "--beam", "0"], "`width` must be an integer >= 1"),
        (["nothing", "{pairs}", "--units", "3"], "`units` must be even"),
        (["nothing", "{pairs}", "--seeds", "0"], "`seeds` must be an integer >= 1"),
    ],
)
def test_an_error_is_one_line(ensemble, tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "load", lambda run: ensemble[1] if run == str(ensemble[0]) else load(run))
    (tmp_path / "model.tflite").write_bytes(b"")
    write_pairs(tmp_path / "pairs.tsv", 9)
    arguments = [argument.format(teacher=ensemble[0], pairs="pairs.tsv") for argument in arguments]
    assert main(["distill", *arguments, "--output", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-attention: error: ")
    assert reason in line
    assert not (tmp_path / "run").exists()
