"""The web page in a real browser, headless Chromium."""

import json

import keras
import numpy as np
import pytest
from browser import CHROMIUM, RUNTIME, WEB, Browser, Server
from conftest import DATA

from keras_attention import (
    AttentionDecoder,
    Beam,
    Encoder,
    Greedy,
    SentencePieceTokenizer,
    Seq2Seq,
    Translator,
    export,
)

WORDS = ["anna", "otto", "baum", "haus", "ton", "not", "regal", "lager"]

interpreters = pytest.importorskip("ai_edge_litert.interpreter")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not RUNTIME.is_dir(), reason="no LiteRT.js: `npm install` in examples/web"),
]


RUN_A_SIGNATURE = """(async () => {
    const { loadAndCompile, Tensor } = await import("@litertjs/core");
    const [name, ids, source] = ["%s", %s, new Int32Array(12)];
    globalThis.compiled ??= {}; // a model for each signature: docs/upstream.md
    if (!compiled[name]) {
        const file = await (await fetch("m.tflite")).arrayBuffer();
        compiled[name] = await loadAndCompile(new Uint8Array(file), { accelerator: "wasm" });
    }
    source.set(ids);
    const found = await compiled[name].run(name, { source: new Tensor(source, [1, 12]) });
    return { tokens: [...found.tokens.toTypedArray()], scores: [...found.scores.toTypedArray()] };
})()"""


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


@pytest.fixture
def server(tmp_path):
    """Serves the pages, and the files that a test puts beside them."""
    (tmp_path / "www").mkdir()
    for file in WEB.iterdir():
        (tmp_path / "www" / file.name).symlink_to(file)
    with Server(tmp_path / "www") as address:
        yield tmp_path / "www", address


def make_translator():
    keras.utils.set_random_seed(3)
    tokenizer = SentencePieceTokenizer.train(WORDS * 5, "char", 40)
    size = tokenizer.vocabulary_size
    model = Seq2Seq(Encoder(size, 5, 6), AttentionDecoder(size, 7, 4))
    for weight in model.weights:
        weight.assign(weight * 3)
    return Translator(model, tokenizer, tokenizer, 12, 9)


def test_the_page_answers_like_the_model_and_shows_its_attention(server, browser):
    folder, address = server
    translator = make_translator()
    export.litert(translator, folder / "m.tflite", text=False)
    browser.call("Page.navigate", url=f"{address}/index.html?model=m.tflite&text=anna")
    for text in ("anna", "not  \uff41 haus", "", "x🙂y"):
        browser.wait_for("document.getElementById('text')?.disabled === false")
        live = translator.translate([text])
        assert type_text(browser, text) == live.texts[0]
        shown = browser.evaluate("""
            [...document.querySelectorAll("#attention tr")].slice(1).map((row) =>
                [...row.querySelectorAll("td")].map((cell) => Number(cell.title.split(": ").pop())))""")
        length = len([piece for piece in live.target_pieces[0] if piece != "</s>"])
        assert shown == [pytest.approx(row, abs=2e-3) for row in live.attention[0][:length].tolist()]
    browser.evaluate("""document.querySelector("#attention td").dispatchEvent(new Event("pointerenter"))""")
    assert browser.evaluate("document.querySelectorAll('.looked-at').length") == 2

    ids = translator.source_tokenizer.tokenize(["anna", "regal"]).numpy()
    strategies = {"greedy_decode": Greedy(), "beam_decode": Beam(5)}
    live = {name: translator.seq2seq.generate(ids, strategy, 9) for name, strategy in strategies.items()}
    for row in (0, 1, 0):
        for name, expected in live.items():
            found = browser.evaluate(RUN_A_SIGNATURE % (name, ids[row].tolist()))
            assert found["tokens"] == expected.tokens[row].flatten().tolist()
            assert found["scores"] == pytest.approx(expected.scores[row].flatten().tolist(), abs=1e-4)


def type_text(browser, text):
    """Types a text, and waits until the page has decoded it."""
    typed = json.dumps(text)
    browser.evaluate(f"""(() => {{
        delete document.body.dataset.done;
        const text = document.getElementById("text");
        text.value = {typed};
        text.dispatchEvent(new Event("input"));
    }})()""")
    browser.wait_for(f"document.body.dataset.done === {typed}")
    return browser.evaluate("document.getElementById('output').textContent")


@pytest.mark.parametrize("quantize", [None, "float16", "int8"])
def test_ten_texts_in_a_row_are_answered_as_in_python(server, browser, quantize):
    folder, address = server
    name = f"{quantize}.tflite"
    names = ["greedy_decode", "encode", "decode_step"]
    export.litert(make_translator(), folder / name, names, quantize=quantize)
    browser.call("Page.navigate", url=f"{address}/index.html?model={name}")
    browser.wait_for("document.getElementById('text')?.disabled === false")
    texts = [*WORDS, "anna", "not haus"]
    expected = export.LiteRTTranslator(folder / name).translate(texts).texts
    assert [type_text(browser, text) for text in texts] == expected


def test_a_text_that_is_too_long_is_reported_and_does_not_widen_the_page(server, browser):
    folder, address = server
    export.litert(make_translator(), folder / "m.tflite", ["encode", "decode_step"])
    browser.call("Page.navigate", url=f"{address}/index.html?model=m.tflite")
    browser.wait_for("document.getElementById('text')?.disabled === false")
    status = "document.getElementById('status').textContent"
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    type_text(browser, "x" * 5000)
    assert browser.evaluate(width) == 0
    assert "cut off" not in browser.evaluate(status)  # unknown letters in a row are one piece
    type_text(browser, "anna" * 50)
    assert "; the last 189 pieces of the text were cut off" in browser.evaluate(status)
    assert browser.evaluate(width) == 0


def test_an_error_clears_the_old_output(server, browser):
    folder, address = server
    export.litert(make_translator(), folder / "m.tflite", ["encode", "decode_step"])
    browser.call("Page.navigate", url=f"{address}/index.html?model=m.tflite&text=anna")
    browser.wait_for("document.body.dataset.done === 'anna'")
    browser.evaluate("""(() => {
        const file = document.getElementById("file"), files = new DataTransfer();
        files.items.add(new File(["nothing"], "bad.tflite"));
        file.files = files.files;
        file.dispatchEvent(new Event("change"));
    })()""")
    browser.wait_for("document.getElementById('status').className === 'error'")
    assert browser.evaluate("document.getElementById('output').textContent") == ""
    assert browser.evaluate("document.querySelectorAll('#attention tr').length") == 0
    color = "getComputedStyle(document.getElementById('status')).color"
    assert browser.evaluate(color) == "rgb(187, 0, 0)"


def test_the_page_reports_a_file_that_it_cannot_read(server, browser):
    folder, address = server
    (folder / "bad.tflite").write_bytes(b"nothing" * 9)
    browser.call("Page.navigate", url=f"{address}/index.html?model=bad.tflite")
    browser.wait_for("document.getElementById('status')?.className === 'error'")
    assert "no tokenizers" in browser.evaluate("document.getElementById('status').textContent")


# The page that reads drawn digits.

DIGITS = {  # strokes in a box of width 0.6 and height 1
    "0": [
        [
            (0.3, 0),
            (0.1, 0.2),
            (0.05, 0.5),
            (0.12, 0.85),
            (0.3, 1),
            (0.5, 0.8),
            (0.55, 0.5),
            (0.48, 0.15),
            (0.3, 0),
        ]
    ],
    "1": [[(0.15, 0.25), (0.35, 0), (0.35, 1)]],
    "2": [[(0.05, 0.2), (0.25, 0), (0.5, 0.15), (0.45, 0.45), (0.05, 1), (0.6, 1)]],
    "3": [
        [
            (0.05, 0.05),
            (0.45, 0.05),
            (0.5, 0.25),
            (0.2, 0.48),
            (0.5, 0.65),
            (0.5, 0.9),
            (0.25, 1),
            (0.02, 0.9),
        ]
    ],
    "4": [[(0.35, 0), (0.05, 0.55), (0.05, 0.65), (0.6, 0.65)], [(0.45, 0.35), (0.42, 1)]],
    "7": [[(0.05, 0.05), (0.55, 0.05), (0.3, 0.5), (0.2, 1)]],
}


def draw(browser, text):
    """Draws digits side by side with pointer events."""
    events = []
    for number, digit in enumerate(text):
        for stroke in DIGITS[digit]:
            points = [(40 + 110 * number + 110 * x, 30 + 130 * y) for x, y in stroke]
            names = ["pointerdown", *["pointermove"] * (len(points) - 1)]
            events += [[name, *point] for name, point in zip(names, points, strict=True)]
            events.append(["pointerup", *points[-1]])
    browser.evaluate(f"""(() => {{
        delete document.body.dataset.done;
        const drawing = document.getElementById("drawing");
        const box = drawing.getBoundingClientRect();
        for (const [name, x, y] of {json.dumps(events)}) {{
            const at = {{
                clientX: box.left + (x * box.width) / drawing.width,
                clientY: box.top + (y * box.height) / drawing.height,
            }};
            drawing.dispatchEvent(new PointerEvent(name, at));
        }}
    }})()""")
    strokes = sum(len(DIGITS[digit]) for digit in text)
    browser.wait_for(f"document.body.dataset.done === '{strokes}'")
    return browser.evaluate("document.getElementById('output').textContent")


def test_drawn_digits_are_read(server, browser):
    """The page reads them as Python does, with a model of `examples/read_digits.py`."""
    folder, address = server
    (folder / "digits.tflite").symlink_to(DATA / "digits_int8.tflite")
    browser.call("Page.navigate", url=f"{address}/digits.html?model=digits.tflite")
    browser.wait_for("document.getElementById('status')?.textContent.startsWith('Reads')")
    interpreter = interpreters.Interpreter(model_path=str(DATA / "digits_int8.tflite"))
    for text in ("0", "4", "7", "70421", "1234"):  # one by one: later ones are read like the first
        browser.evaluate("document.getElementById('clear').click()")
        found = draw(browser, text)
        columns = browser.evaluate("""(async () => {
            const { columnsOf } = await import("./columns.js");
            return columnsOf(window.strokes());
        })()""")
        expected, attention = read_columns(interpreter, np.array(columns, "float32"))
        assert found == expected
        shown = browser.evaluate("""[...document.querySelectorAll("#attention canvas")].map((canvas) =>
            canvas.title.split(": ")[1].split(" ").map(Number))""")
        np.testing.assert_allclose(shown, attention, atol=0.02)  # int8: each runtime rounds in its own way
        if text != "1234":  # the model takes its first digit for an 8
            assert found == text


def read_columns(interpreter, columns):
    """(text, attention of each digit) of columns, by `encode` and `decode_step` in Python."""
    encode, decode_step = (interpreter.get_signature_runner(name) for name in ("encode", "decode_step"))
    source = np.zeros((1, 128, 8), "float32")
    source[0, : len(columns)] = columns
    states = encode(source=source, source_lengths=np.array([len(columns)], "int32"))
    token, text, attention = 2, "", []
    while len(text) < 12:
        found = decode_step(token=np.array([token], "int32"), **states)
        token = int(found["log_probs"].argmax())
        if token == 2:
            break
        text, attention = text + str(token - 3), [*attention, found["attention"][0]]
        states |= {name: value for name, value in found.items() if name.startswith("state_")}
    return text, attention


def test_the_digits_page_refuses_other_models(server, browser):
    folder, address = server
    (folder / "text.tflite").symlink_to(DATA / "saved" / "translator.tflite")
    browser.call("Page.navigate", url=f"{address}/digits.html?model=text.tflite")
    browser.wait_for("document.getElementById('status')?.className === 'error'")
    assert "reads something else" in browser.evaluate("document.getElementById('status').textContent")
