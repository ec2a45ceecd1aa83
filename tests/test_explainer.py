"""The explainer in headless Chromium: the numbers that it shows are those of `translator.explain`."""

import base64
import itertools
import json
import re

import keras
import numpy as np
import pytest
from browser import CHROMIUM, RUNTIME, Browser, Server
from conftest import DATA
from test_web import WORDS, make_translator

import keras_attention
from keras_attention import AttentionDecoder, Beam, Encoder, Seq2Seq

ROOT = DATA.parent.parent
PAGE = ROOT / "examples" / "explainer"
TEXTS = [
    *WORDS,
    *map("".join, itertools.pairwise(WORDS)),
    "a",
    "",
    "x🙂y",
    "not haus",
    "\uff41n",
]
IN_CHROMIUM = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="no LiteRT.js: `npm install` in examples/web"),
]
pytest.importorskip("ai_edge_litert")

SHOWN = """
    globalThis.all = (selector, of) => [...document.querySelectorAll(selector)].map(of);
    globalThis.shown = () => {
        const values = (tensor) => all(`[data-tensor="${tensor}"]`, (strip) => [...strip.values]);
        const last = ({ title }) => Number(title.split(" ").at(-1));
        const found = { memory: values("memory"), weighted: values("weighted") };
        for (const name of ["embedding", "h", "context", "vector"]) found[name] = values(name)[0];
        found.combined = [...values("combined-h")[0], ...values("combined-context")[0]];
        for (const name of ["score", "weight"]) found[`${name}s`] = all(`.${name}`, last);
        found.likeliest = all("#likeliest button", (one) => [Number(one.dataset.token), last(one)]);
        found.token = Number(document.querySelector("#likeliest [aria-pressed=true]").dataset.token);
        return found;
    };
    globalThis.done = async () => {
        while (!document.body.dataset.done) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    globalThis.after = async (act) => { delete document.body.dataset.done; act(); await done(); };
    globalThis.input = (id, value, name = "input") => after(() => {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event(name, { bubbles: true }));
    });
    globalThis.steps = () => [...document.querySelectorAll("#outputs button")];
    globalThis.walk = (key, last) => {
        const seen = [];
        for (;;) {
            const position = document.getElementById("position").textContent;
            seen.push(JSON.stringify([position, shown()]));
            if (position === last) return seen;
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        }
    };
    globalThis.allSteps = () => steps().map((_, t) => { steps()[t].click(); return shown(); });
"""
POSITION = "document.getElementById('position').textContent"
WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDE = """all("body :not(.wide *)", (one) => [one.outerHTML, one.getBoundingClientRect().right])
    .filter(([, right]) => right > 360).map(([html]) => html.slice(0, 80))"""


class Page(Browser):
    """The explainer with a model, and functions in it to read and change what it shows."""

    def open(self, address):
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait_for("document.body?.dataset.done")
        self.evaluate(SHOWN)

    def press(self, *keys):
        for key in keys:
            text = {"text": key} if key == " " else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        return self.evaluate(POSITION)


@pytest.fixture(scope="module")
def translator():
    translator = make_translator()
    translator.seq2seq.run_eagerly = True  # a trace takes longer than the answers to compare with
    return translator


def other_model():
    keras.utils.set_random_seed(4)
    options = {"cell": "gru", "num_layers": 2, "score": "location", "head": "pointer"}
    model = Seq2Seq(Encoder(11, 5, 6), AttentionDecoder(11, 7, 4, input_feeding=True, **options))
    for weight in model.trainable_weights:  # larger than they start, so that attention is not uniform
        weight.assign(weight * 4)
    model.run_eagerly = True
    return model


@pytest.fixture(scope="module")
def address(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("www")
    names = ["encode", "explain_step"]
    translator.export(folder / "m.tflite", "litert", signatures=names)
    sizes = {"source_length": 8, "max_length": 6}
    other_model().export(folder / "ids.tflite", "litert", signatures=names, **sizes)
    for name in ("examples", "keras_attention"):
        (folder / name).symlink_to(ROOT / name)
    with Server(folder) as running:
        yield f"{running}/examples/explainer/?model=/m.tflite"


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("profile"))
    page.open(f"{address}&text=anna")
    yield page
    page.close()


def assert_shows(shown, found, rtol=0):
    """The steps that the page shows are those of an `Explanation`; `rtol` is for the log-probabilities."""
    assert len(shown) == len(found.tokens)
    for t, step in enumerate(shown):
        assert step["token"] == found.tokens[t]
        for name in ("embedding", "h", "context", "vector", "scores", "weights"):
            np.testing.assert_allclose(step[name], getattr(found, name)[t], atol=1e-4)
        np.testing.assert_allclose(step["combined"], found.combined[t], atol=1e-4)
        np.testing.assert_allclose(step["memory"], found.memory, atol=1e-4)
        np.testing.assert_allclose(step["weighted"], found.weights[t][:, None] * found.memory, atol=1e-4)
        ids, log_probs = np.array(step["likeliest"]).T
        np.testing.assert_allclose(log_probs, found.log_probs[t, ids.astype(int)], rtol, atol=1e-4)


class TestPage:
    pytestmark = IN_CHROMIUM

    def test_it_shows_the_numbers_of_the_model(self, page, translator):
        assert len(TEXTS) == 20
        for text in TEXTS:
            page.evaluate(f"input('text', {json.dumps(text)})")
            assert_shows(page.evaluate("allSteps()"), translator.explain(text))

    def test_back_and_forth_it_shows_the_same(self, page):
        page.evaluate("input('text', 'regal')")
        last = page.press("End")
        first = page.press("Home")
        forth = page.evaluate(f"walk('ArrowRight', '{last}')")
        back = page.evaluate(f"walk('ArrowLeft', '{first}')")
        assert back == forth[::-1]
        assert len(forth) == 1 + 9 * page.evaluate("steps().length")

    def test_keys_and_buttons(self, page):
        page.evaluate("input('text', 'regal')")
        length = page.evaluate("steps().length")
        assert page.press("Home") == f"step 1 of {length}, encode"
        assert page.press("ArrowRight", "ArrowRight", "ArrowRight") == f"step 1 of {length}, score"
        assert page.press("ArrowDown") == f"step 2 of {length}, score"
        assert page.press("ArrowUp", "ArrowLeft") == f"step 1 of {length}, recur"
        page.evaluate("document.getElementById('forward').click()")
        assert page.evaluate(POSITION) == f"step 1 of {length}, score"
        page.press(" ")
        assert page.evaluate("document.getElementById('play').getAttribute('aria-pressed')") == "true"
        page.press(" ")
        # In a strip the arrow keys go through its numbers, which are also read aloud.
        page.evaluate("document.querySelector('[data-tensor=h]').focus()")
        assert page.press("ArrowRight", "ArrowRight") == f"step 1 of {length}, score"
        spoken = page.evaluate("document.querySelector('[data-tensor=h]').getAttribute('aria-valuetext')")
        value = page.evaluate("document.querySelector('[data-tensor=h]').values[2]")
        assert spoken == f"number 3 of 4: {value:.4f}"
        page.evaluate("document.activeElement.blur()")

    def test_a_what_if_is_the_same_change_in_python(self, page, translator):
        page.evaluate("input('text', 'lager')")
        own = translator.explain("lager")
        other = next(i for i in range(3, 9) if i != own.tokens[1])

        page.evaluate(f"steps()[1].click(); input('any', {other}, 'change')")
        assert_shows(page.evaluate("allSteps()"), translator.explain("lager", {1: other}))
        page.evaluate("steps()[0].click(); after(() => document.getElementById('uniform').click())")
        both = translator.explain("lager", {1: other}, {0: "uniform"})
        assert_shows(page.evaluate("allSteps()"), both)
        # Everything is in the address.
        page.open(page.evaluate("location.href"))
        assert_shows(page.evaluate("allSteps()"), both)
        page.evaluate("after(() => document.getElementById('reset').click())")
        assert_shows(page.evaluate("allSteps()"), own)

        page.evaluate("after(() => document.getElementById('uniform-every').click())")
        assert_shows(page.evaluate("allSteps()"), translator.explain("lager", weights="uniform"))
        page.evaluate("after(() => document.getElementById('reset').click())")
        page.evaluate("input('temperature', 0.3)")
        assert_shows(page.evaluate("allSteps()"), translator.explain("lager", temperature=1.995))
        page.evaluate("after(() => document.getElementById('reset').click())")
        page.evaluate("""steps()[2].click(); after(() => {
            const slider = document.querySelectorAll(".weight input")[1];
            slider.value = 0.5;
            slider.dispatchEvent(new Event("input"));
        })""")
        weights = own.weights[2] / (1 - own.weights[2, 1]) / 2  # the others share the rest
        weights[1] = 0.5
        assert_shows(page.evaluate("allSteps()"), translator.explain("lager", weights={2: weights}))
        page.evaluate("after(() => document.getElementById('reset').click())")

    def test_the_beam_is_that_of_the_model(self, page, translator):
        page.evaluate("input('text', 'haus')")
        rows = page.evaluate("""[...document.querySelectorAll("#hypotheses tr")].slice(1).map((row) =>
            [row.cells[1].textContent, Number(row.cells[2].textContent)])""")
        greedy, (beam,) = translator.translate(["haus"]), translator.translate_n_best(["haus"], Beam(3))
        assert [text for text, _ in rows] == [*greedy.texts, *beam.texts]
        np.testing.assert_allclose([x for _, x in rows], [*greedy.scores, *beam.scores], atol=2e-4)
        page.evaluate("after(() => document.querySelectorAll('#hypotheses button')[2].click())")
        written = page.evaluate("steps().map(({ textContent }) => textContent)")
        assert written == [piece.replace("</s>", "\u2039end\u203a") for piece in beam.target_pieces[1]]

    def test_a_link_leads_to_a_place(self, page, address):
        page.open(f"{address}&text=otto&step=2&at=softmax")
        assert re.fullmatch(r"step 2 of \d+, softmax", page.evaluate(POSITION))
        assert page.evaluate("document.querySelector('.block.now').dataset.parts").startswith(
            "encode score"
        )
        lines = page.evaluate("[...document.querySelectorAll('#ideas summary')].map((x) => x.textContent)")
        assert lines == [
            f"{file.removeprefix('keras_attention/')}, line {line}" for _, file, line in ideas()
        ]

    def test_a_phone_needs_no_horizontal_scrolling(self, page, address):
        size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        page.call("Emulation.setDeviceMetricsOverride", **size)
        page.evaluate("input('text', 'regallager')")
        page.press("Home")
        for _ in range(10):
            assert page.evaluate(WIDTH) == 0, page.evaluate(WIDE)
            page.press("ArrowRight")
        page.call("Emulation.clearDeviceMetricsOverride")

    def test_other_files_are_refused_with_the_reason(self, page):
        reasons = {DATA / "digits_int8.tflite": "explain_step", ROOT / "README.md": "no tokenizers"}
        for file, reason in reasons.items():
            page.evaluate(f"""after(() => {{
                const field = document.getElementById("file"), files = new DataTransfer();
                const bytes = Uint8Array.from(atob("{base64.b64encode(file.read_bytes()).decode()}"),
                    (letter) => letter.charCodeAt(0));
                files.items.add(new File([bytes], "other.tflite"));
                field.files = files.files;
                field.dispatchEvent(new Event("change"));
            }})""")
            assert page.evaluate("document.getElementById('status').className") == "error"
            assert reason in page.evaluate("document.getElementById('status').textContent")

    def test_a_model_of_ids_with_another_kind_of_attention(self, page, address):
        model, source = other_model(), np.array([[3, 7, 4, 2]])
        page.open(f"{address.replace('m.tflite', 'ids.tflite')}&text=3+7+4")
        # A pointer's 1 - copied loses digits where almost everything is copied.
        assert_shows(page.evaluate("allSteps()"), model.explain(source, max_length=6), 2e-4)
        page.evaluate("after(() => document.getElementById('uniform-every').click())")
        found = model.explain(source, weights="uniform", max_length=6)
        assert_shows(page.evaluate("allSteps()"), found, 2e-4)
        caption = "document.getElementById('caption').textContent"
        assert "These are your weights" in page.evaluate(
            f"all('#rail button', (b) => b)[4].click(), {caption}"
        )


def ideas():
    """(sentence, file, line) of each idea of the page; the line is that of its mark."""
    text = (PAGE / "ideas.js").read_text()
    text = re.sub(r'" \+\s*"', "", text)
    for sentence, file, mark in re.findall(r'text:\s*"(.*)",\s*file: "(.*)",\s*mark: "(.*)"', text):
        lines = (ROOT / file).read_text().splitlines()
        (line,) = [number for number, code in enumerate(lines, start=1) if f"# {mark}:" in code]
        yield re.sub(r"\{([^|]*)\|[\w-]+\}", r"\1", sentence), file, line


def test_the_five_sentences_are_those_of_the_package_and_are_in_its_code():
    documented = re.findall(r"^\d\. (.*?):\s+`", keras_attention.__doc__, flags=re.MULTILINE | re.DOTALL)
    assert [sentence for sentence, _, _ in ideas()] == [" ".join(text.split()) for text in documented]
    assert len(documented) == 5


def test_a_file_of_the_explainer_is_short():
    for file in PAGE.iterdir():
        if file.is_file():
            assert len(file.read_text().splitlines()) <= 250, file


def test_the_files_need_nothing_from_the_network():
    for file in PAGE.glob("*.*"):
        assert not re.findall(r"https?://(?!127)", file.read_text()), file
