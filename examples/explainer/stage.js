// The stage: one step of the decoder, from the token that it reads to the token that it chooses.
import { best } from "./model.js";
import { letter, percent, SUBSTEPS } from "./captions.js";
import { make } from "./make.js";
import { fill, largestOf, newStrip } from "./strips.js";

const element = (id) => document.getElementById(id);

const SLOTS = {
  // slot: [tensor, label, axis that it shares with other strips]
  embedding: ["embedding", "Embedding of the token that is read"],
  previous: ["previous", "Previous state of the decoder", "h"],
  h: ["h", "h, the state of the decoder", "h"],
  context: ["context", "C, the context", "memory"],
  "combined-h": ["combined-h", "h, the first part of [h; C]", "h"],
  "combined-context": ["combined-context", "C, the second part of [h; C]", "memory"],
  vector: ["vector", "Output of the feed-forward layer"],
};
const strips = {};
for (const slot of document.querySelectorAll("[data-slot]")) {
  slot.append((strips[slot.dataset.slot] = newStrip(...SLOTS[slot.dataset.slot])));
}
let rows = []; // of the table, one for each letter

// Builds the table for other letters. `edit(s, weight)` is called when the user drags a weight.
export function newLetters(pieces, edit) {
  rows = pieces.map((piece, s) => {
    const letter = piece === "$" ? "the end" : piece;
    const memory = newStrip("memory", `Memory state of ${letter}`, "memory");
    const weighted = newStrip("weighted", `Weight times memory state of ${letter}`, "memory");
    const bar = make("i");
    const score = make("div", { className: "score" }, make("div", {}, bar), make("span"));
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.01 });
    slider.setAttribute("aria-label", `Weight of ${letter}`);
    slider.addEventListener("input", () => edit(s, Number(slider.value)));
    const weight = make("div", { className: "weight" }, slider, make("span"));
    const cells = [memory, score, weight, weighted].map((content, i) => {
      const cell = make("td", { className: ["of-memory", "", "", "of-weighted"][i] }, content);
      cell.dataset.from = [0, 3, 4, 5][i];
      return cell;
    });
    for (const [strip, name] of [[memory, "memory"], [weighted, "weighted"]]) {
      if (s) strip.tabIndex = -1; // arrow keys go from the first to the others
      strip.addEventListener("keydown", (event) => {
        const to = rows[s + { ArrowDown: 1, ArrowUp: -1 }[event.key]];
        if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
        event.preventDefault();
        event.stopPropagation();
        to?.[name].focus();
      });
    }
    return { row: make("tr", {}, make("th", { scope: "row", textContent: piece }), ...cells), memory, weighted, bar, score, slider, weight };
  });
  element("letters").replaceChildren(...rows.map(({ row }) => row));
}

// Shows the numbers of a step.
export function showStep({ step, memory, name, force }) {
  element("fed").textContent = name(step.fed);
  const scale = largestOf(...memory);
  for (const slot of ["embedding", "previous", "h", "vector"]) fill(strips[slot], step[slot]);
  fill(strips.context, step.context, scale);
  fill(strips["combined-h"], step.h);
  fill(strips["combined-context"], step.context, scale);
  const mostScore = largestOf(step.scores);
  rows.forEach(({ memory: strip, weighted, bar, score, slider, weight }, s) => {
    fill(strip, memory[s], scale);
    fill(weighted, memory[s].map((x) => step.weights[s] * x), scale);
    const share = (50 * Math.abs(step.scores[s])) / mostScore;
    Object.assign(bar.style, { width: `${share}%`, left: `${step.scores[s] < 0 ? 50 - share : 50}%` });
    score.lastChild.textContent = step.scores[s].toFixed(2);
    score.title = `score ${step.scores[s].toFixed(5)}`;
    slider.value = step.weights[s];
    slider.style.setProperty("--w", step.weights[s]);
    slider.setAttribute("aria-valuetext", percent(step.weights[s]));
    weight.lastChild.textContent = step.weights[s].toFixed(2);
    weight.title = `weight ${step.weights[s].toFixed(5)}`;
  });
  document.querySelector(".total").textContent = step.weights.reduce((sum, x) => sum + x, 0).toFixed(2);
  showLikeliest(step, name, force);
}

function showLikeliest({ logProbs, token }, name, force) {
  const ids = best(logProbs, 5);
  if (!ids.includes(token)) ids[4] = token; // forced
  element("likeliest").replaceChildren(
    ...ids.map((id) => {
      const probability = Math.exp(logProbs[id]);
      const bar = make("i");
      bar.style.setProperty("--w", probability);
      const shown = percent(probability);
      const button = make("button", { title: `log-probability ${logProbs[id].toFixed(5)}` }, make("b", { textContent: name(id) }), bar, make("span", { textContent: shown }));
      button.dataset.token = id;
      button.setAttribute("aria-pressed", id === token);
      button.setAttribute("aria-label", `write ${name(id)}, ${shown}`);
      button.addEventListener("click", () => force(id));
      return make("li", {}, button);
    }),
  );
}

// Shows only what has been computed at a sub-step, and marks what happens in it.
export function showSubStep(at) {
  const now = SUBSTEPS.indexOf(at);
  for (const name of ["softmax", "weigh"]) document.body.classList.toggle(name, now >= SUBSTEPS.indexOf(name));
  for (const block of document.querySelectorAll(".block")) {
    block.hidden = Number(block.dataset.from) > now;
    block.classList.toggle("now", block.dataset.parts.split(" ").includes(at));
  }
  for (const cell of document.querySelectorAll("th[data-from], td[data-from]")) {
    cell.classList.toggle("off", Number(cell.dataset.from) > now);
  }
}

// How C is made, or only one number of it: the one that the user points at.
export function showEquation({ index, strip }, { step, memory, pieces }) {
  const line = element("equation");
  const { tensor, space } = strip?.dataset ?? {};
  if (index !== null && (space !== "memory" || tensor === "memory")) {
    line.textContent = `number ${index + 1} of ${strip.values.length}: ${strip.values[index].toFixed(4)}`;
    return;
  }
  const order = pieces.map((_, s) => s).sort((one, other) => step.weights[other] - step.weights[one]);
  const of = (s) => (index === null ? `state of ${letter(pieces, s)}` : `${memory[s][index].toFixed(3)} from ${letter(pieces, s)}`);
  const terms = order.slice(0, 3).map((s) => `${step.weights[s].toFixed(2)} × ${of(s)}`);
  const sum = `${terms.join(" + ")}${pieces.length > 3 ? " + …" : ""}`;
  line.textContent = index === null ? `C = ${sum}` : `number ${index + 1} of C: ${sum} = ${step.context[index].toFixed(4)}`;
}
