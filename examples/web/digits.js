// The page of read_digits.py: reads the whole drawing after each stroke, and shows the attention of the model.
import { loadLiteRt } from "@litertjs/core";
import { columnsOf } from "./columns.js";
import { Decoder } from "./decoder.js";

const FIRST_DIGIT_ID = 3;
const element = (id) => document.getElementById(id);
const [drawing, output, status, attention] = ["drawing", "output", "status", "attention"].map(element);
const pen = drawing.getContext("2d");
Object.assign(pen, { lineWidth: 12, lineCap: "round", lineJoin: "round" });
let decoder = null;
let strokes = []; // each a list of [x, y]
window.strokes = () => strokes; // for the test of this page
let newest = 0; // a newer drawing replaces the one that is still being read

async function load(buffer) {
  try {
    await (load.runtime ??= loadLiteRt("./node_modules/@litertjs/core/wasm/"));
    const loaded = await Decoder.load(buffer);
    if (loaded.limits.source?.source?.shape?.[2] !== 8) {
      throw new Error("This page draws columns of 8 pixels; the model reads something else.");
    }
    decoder = loaded;
    say(`Reads up to ${decoder.limits.source_length} columns.`);
    await read();
  } catch (error) {
    showError(error);
  }
}

function say(text, isError = false) {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

const showError = (error) => say(error.message ?? String(error), true);
let running = Promise.resolve();

function read() {
  const mine = ++newest;
  running = running.then(() => (mine === newest ? decode(mine) : null)).catch(showError);
  return running;
}

async function decode(mine) {
  output.textContent = "";
  attention.replaceChildren();
  if (decoder && strokes.length) {
    const columns = columnsOf(strokes);
    const length = decoder.limits.source_length;
    if (columns.length > length) return say(`The line has ${columns.length} columns, more than ${length}.`, true);
    const source = new Float32Array(length * 8);
    source.set(columns.flat());
    const inputs = { source: [source, [1, length, 8]], source_lengths: [Int32Array.of(columns.length), [1]] };
    const start = performance.now();
    for await (const { token, attention: weights } of decoder.decode(inputs)) {
      if (mine !== newest) return null;
      const digit = token < FIRST_DIGIT_ID ? "?" : String(token - FIRST_DIGIT_ID);
      output.textContent += digit;
      attention.append(rowOf(digit, columns, weights));
      await new Promise(requestAnimationFrame);
    }
    say(`${output.textContent.length} digits in ${(performance.now() - start).toFixed(0)} ms`);
  }
  document.body.dataset.done = strokes.length;
  return null;
}

// The columns as a small picture, with the attention over it. The encoder may make one step of several columns.
function rowOf(digit, columns, weights) {
  const row = document.createElement("div");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns.length, 8];
  canvas.title = `${digit}: ${Array.from(weights, (weight) => weight.toFixed(3)).join(" ")}`;
  const context = canvas.getContext("2d");
  const columnsPerStep = Math.ceil(decoder.limits.source_length / weights.length);
  const most = Math.max(...weights);
  columns.forEach((column, x) => {
    column.forEach((ink, y) => {
      context.fillStyle = `rgba(0, 0, 0, ${ink})`;
      context.fillRect(x, y, 1, 1);
    });
    context.fillStyle = `rgba(230, 40, 0, ${(0.7 * weights[Math.floor(x / columnsPerStep)]) / most})`;
    context.fillRect(x, 0, 1, 8);
  });
  row.append(digit, canvas);
  return row;
}

const at = (event) => {
  const box = drawing.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * drawing.width) / box.width,
    ((event.clientY - box.top) * drawing.height) / box.height,
  ];
};
let stroke = null;
drawing.addEventListener("pointerdown", (event) => {
  stroke = [at(event)];
  draw(event);
});
drawing.addEventListener("pointermove", (event) => stroke && draw(event));
for (const name of ["pointerup", "pointerleave", "pointercancel"]) {
  drawing.addEventListener(name, () => {
    if (!stroke) return;
    strokes.push(stroke);
    stroke = null;
    read();
  });
}

function draw(event) {
  const from = stroke.at(-1);
  stroke.push(at(event));
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...stroke.at(-1));
  pen.stroke();
}

element("clear").addEventListener("click", () => {
  strokes = [];
  pen.clearRect(0, 0, drawing.width, drawing.height);
  read();
});
element("file").addEventListener("change", async (event) => load(await event.target.files[0].arrayBuffer()));

// digits.html?model=digits.tflite loads at once.
const asked = new URLSearchParams(location.search).get("model");
if (asked) {
  const answer = await fetch(asked);
  if (answer.ok) await load(await answer.arrayBuffer());
  else say(`No model at ${asked}: ${answer.status}`, true);
}
