"""The documents: their code runs, their commands are valid, their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_attention
from keras_attention import export
from keras_attention.cli import _parser

ROOT = Path(__file__).parent.parent
FILES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *ROOT.glob("docs/**/*.md"),
]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)

# Pages whose code goes on from the first example, in this order, and pages whose code stands alone.
GO_ON = [f"docs/{name}.md" for name in ("index", "data", "decoding", "export", "serving")]
ALONE = [
    "CONTRIBUTING.md",
    *(f"docs/{name}.md" for name in ("attention", "encoders", "migration", "upstream")),
]
# In test_litert.py, test_rescoring.py, test_explaining.py and test_devices.py, with what they need.
ELSEWHERE = {"docs/mobile.md", "docs/directions.md", "docs/explainer.md", "docs/machines.md"}
GUIDES = [*GO_ON, *(f"docs/{name}.md" for name in ("attention", "encoders", "limits", "api/index"))]


def code_of(page):
    return [code for language, code in BLOCK.findall(PAGES[page]) if language == "python"]


def run_code(page, names):
    for block in code_of(page):
        exec(compile(block, page, "exec"), names)
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()


def test_the_code_that_goes_on_from_the_first_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for page in GO_ON:
        run_code(page, names)
    assert (tmp_path / "reverse" / "1" / "saved_model.pb").is_file()
    assert capsys.readouterr().out.count("6 5 4 3 2 0 0 0 0 0") == 3  # live, SavedModel, LiteRT


@pytest.mark.parametrize("page", ALONE)
def test_the_code_that_stands_alone_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_code(page, {})


def test_all_code_runs():
    with_code = {page for page in PAGES if code_of(page)}
    assert with_code == {*GO_ON, *ALONE, *ELSEWHERE, "README.md"}
    assert code_of("README.md") == code_of("docs/index.md")


def commands():
    """(page, words) of each line in the blocks without a language."""
    for page, text in PAGES.items():
        for language, block in BLOCK.findall(text):
            for line in [] if language else block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                end = min((words.index(sign) for sign in "<>|" if sign in words), default=None)
                if words[:end]:
                    yield page, words[:end]


def test_the_commands_are_valid():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    seen = set()
    for page, (program, *words) in commands():
        seen.add(program)
        if program == "keras-attention":
            options = [word for word in words if word != "..."]
            _parser().parse_args(options)  # prints what is wrong, and exits
        elif program == "make":
            assert words[0] in targets, page
        elif program == "python" and not words[0].startswith("-"):
            assert (ROOT / words[0]).is_file(), (page, words)
    assert seen >= {"keras-attention", "make", "python"}


def test_the_names_exist():
    for page, text in PAGES.items():
        for name in re.findall(r"\bka\.(\w+)", text):
            assert hasattr(keras_attention, name), (page, name)
    for page in ["README.md", *GUIDES]:
        for name in re.findall(r"`([A-Z]\w+)[(`]", PAGES[page]):
            assert any(hasattr(place, name) for place in (keras_attention, export, keras.utils)), (
                page,
                name,
            )


def test_the_options_of_the_tables_exist():
    choices = _parser()._subparsers._group_actions[0].choices
    known = " ".join(command.format_help() for command in choices.values())
    for page in ("docs/migration.md", "docs/attention.md"):
        for row in re.findall(
            r"^\|[^|]*\|(.*)\|$", PAGES[page], flags=re.MULTILINE
        ):  # this project's columns
            for option in re.findall(r"--[a-z][a-z-]+", row):
                assert option in known, option


def anchors(text):
    """The anchors of the headings, as GitHub and MkDocs make them, and of what an API page documents."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), flags=re.MULTILINE)
    headings = {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}
    return headings | set(re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_the_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^()\s]+)\)", BLOCK.sub("", PAGES[page])):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = Path(os.path.normpath(Path(page).parent / file)) if file else Path(page)
        assert (ROOT / target).is_file(), link
        assert not anchor or anchor in anchors(PAGES[target.as_posix()]), link


def test_every_public_name_is_in_the_api_pages():
    shown = "".join(text for page, text in PAGES.items() if page.startswith("docs/api/"))
    for name in keras_attention.__all__:
        is_number = isinstance(getattr(keras_attention, name), int)
        assert (f"`{name}`" if is_number else f"::: keras_attention.{name}\n") in shown, name
    for name in export.__all__:
        assert not callable(getattr(export, name)) or f".{name}\n" in shown, name


def test_the_site_shows_every_page_and_builds(tmp_path):
    settings = (ROOT / "mkdocs.yml").read_text()
    in_site = {f"docs/{page}" for page in re.findall(r" ([\w/]+\.md)$", settings, flags=re.MULTILINE)}
    assert in_site == {page for page in PAGES if page.startswith("docs/")}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api" / "attention.html").read_text(encoding="utf-8")
    assert "Scores every memory state against a query" in page
    assert not re.search(r'(src|href)="https?://(?!squidfunk)', page)  # needs no network
