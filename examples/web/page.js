// The page: takes a model and a text, shows the output as it is decoded, and where the model looks.
import { loadLiteRt } from "@litertjs/core";
import { Translator } from "./translator.js";

const element = (id) => document.getElementById(id);
const [text, output, status, table] = ["text", "output", "status", "attention"].map(element);
let translator = null;
let newest = 0; // a newer text replaces the one that is still being decoded

async function load(buffer) {
  newest++; // ends the decoding that is still running
  text.disabled = true;
  try {
    await (load.runtime ??= loadLiteRt("./node_modules/@litertjs/core/wasm/"));
    translator = await Translator.load(buffer);
    text.disabled = false;
    status.textContent = `${translator.target.length} target pieces, sources of ${translator.limits.source_length} ids.`;
    await show();
  } catch (error) {
    showError(error);
  }
}

function showError(error) {
  output.textContent = "";
  table.replaceChildren();
  status.textContent = error.message ?? String(error);
  status.className = "error";
}

let running = Promise.resolve();

function show() {
  const mine = ++newest;
  running = running.then(() => (mine === newest ? decode(mine) : null)).catch(showError);
  return running;
}

async function decode(mine) {
  const typed = text.value;
  const { pieces, ids, cut } = translator.tokenize(typed);
  const start = performance.now();
  const rows = [];
  table.replaceChildren(headOf(pieces));
  output.textContent = "";
  for await (const { piece, attention } of translator.translate(ids)) {
    if (mine !== newest) return;
    rows.push(piece);
    output.textContent = translator.detokenize(rows);
    const row = rowOf(piece, attention, pieces);
    if (translator.limits.right_to_left) table.firstChild.after(row); // in the order of reading
    else table.append(row);
    await new Promise(requestAnimationFrame);
  }
  const warning = cut ? `; the last ${cut} pieces of the text were cut off` : "";
  status.textContent = `${rows.length} pieces in ${(performance.now() - start).toFixed(0)} ms${warning}`;
  status.className = cut ? "error" : "";
  document.body.dataset.done = typed;
}

function headOf(pieces) {
  const row = document.createElement("tr");
  row.append(document.createElement("th"), ...pieces.map((piece) => cell("th", piece)));
  return row;
}

function rowOf(piece, attention, pieces) {
  const row = document.createElement("tr");
  row.append(cell("th", piece));
  attention.forEach((weight, s) => {
    const square = cell("td", "");
    square.style.background = `rgba(0, 90, 200, ${weight})`;
    square.title = `${piece} looks at ${pieces[s]}: ${weight.toFixed(3)}`;
    square.addEventListener("pointerenter", () => mark(row, s, true));
    square.addEventListener("pointerleave", () => mark(row, s, false));
    row.append(square);
  });
  return row;
}

function mark(row, s, on) {
  for (const label of [row.cells[0], table.rows[0].cells[s + 1]]) label.classList.toggle("looked-at", on);
}

function cell(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

text.addEventListener("input", show);
element("file").addEventListener("change", async (event) => load(await event.target.files[0].arrayBuffer()));

// index.html?model=model.tflite&text=HELLO loads and decodes at once.
const asked = new URLSearchParams(location.search);
text.value = asked.get("text") ?? "";
if (asked.has("model")) {
  const answer = await fetch(asked.get("model"));
  if (answer.ok) await load(await answer.arrayBuffer());
  else showError(`No model at ${asked.get("model")}: ${answer.status}`);
}
