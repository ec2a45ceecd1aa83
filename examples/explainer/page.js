// The page: loads a model, explains the text with it, and goes through the explanation.
import { loadLiteRt } from "@litertjs/core";
import { readAddress, writeAddress } from "./address.js";
import { beamSearch, drawTree, listAnswers } from "./beam.js";
import { caption, SUBSTEPS } from "./captions.js";
import { IDEAS, showIdeas } from "./ideas.js";
import { Model } from "./model.js";
import { make } from "./make.js";
import { newMap } from "./strips.js";
import { newLetters, showEquation, showStep, showSubStep } from "./stage.js";

const element = (id) => document.getElementById(id);
const DEFAULTS = { model: "../models/g2p_en.tflite", text: "THOUGH" };
const state = { ...readAddress(location.search), file: null, about: "" };
let model = null;
let found = null; // the explanation, with its pieces
let own = null; // the explanation without what-ifs
let playing = null;

// Work is queued: two runs of one compiled model must not mix.
let queue = Promise.resolve();
const queued = (work) => (queue = queue.then(work).catch(showError));

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").className = isError ? "error" : "";
}

function showError(error) {
  say(error.message ?? String(error), true);
  document.body.dataset.done = "error";
}

async function load(buffer, name) {
  await (load.runtime ??= loadLiteRt("../web/node_modules/@litertjs/core/wasm/"));
  model = await Model.load(buffer);
  const { source_length, target_vocabulary_size } = model.limits;
  const reads = { char: "letters", ids: "ids with spaces between" }[model.kind] ?? "pieces with spaces between";
  state.about = `${name}: reads up to ${source_length - 1} ${reads}, writes with ${target_vocabulary_size - 1} pieces. Everything runs in this page.`;
  say(state.about);
  const names = Array.from({ length: target_vocabulary_size }, (_, id) => model.name(id));
  element("any").replaceChildren(make("option", { value: "", textContent: "…" }));
  names.forEach((text, id) => id && element("any").append(make("option", { value: id, textContent: text })));
  const idOf = new Map(names.map((_, id) => [model.piece(id), id]));
  state.tokens = Object.fromEntries(Object.entries(state.tokens).map(([t, text]) => [t, idOf.get(text)]).filter(([, id]) => id));
  element("text").disabled = false;
  own = null;
}

const isChanged = () => state.temperature !== 1 || Object.keys({ ...state.tokens, ...state.weights }).length > 0;

// Computes everything again, after the text or a what-if changed.
const explain = () =>
  queued(async () => {
    const { text } = state; // which may change before the model has answered
    const { pieces, ids, cut } = model.tokenize(text);
    const fits = (given) => given === "uniform" || given.length === ids.length;
    state.weights = Object.fromEntries(Object.entries(state.weights).filter(([, given]) => fits(given)));
    const isNew = !own || own.text !== text;
    if (isNew) {
      own = { ...(await model.explain(ids)), text };
      newLetters(pieces, editWeight);
      say(cut ? `The last ${cut} pieces of the text were cut off.` : state.about, cut > 0);
    }
    found = { ...(isChanged() ? await model.explain(ids, state) : own), pieces, ids };
    show();
    if (isNew) await showBeam();
    document.body.dataset.done = location.search;
  });

function show() {
  state.t = Math.min(state.t, found.steps.length - 1);
  if (state.t && state.at === "encode") state.at = "read";
  const [step, name] = [found.steps[state.t], (id) => model.name(id)];
  const view = { ...state, ...found, step, before: own.steps[state.t]?.token, name, force, ...model.sizes };
  showStep(view);
  showSubStep(state.at);
  element("equation").hidden = SUBSTEPS.indexOf(state.at) < SUBSTEPS.indexOf("sum");
  showEquation({ index: null }, view);
  element("caption").textContent = caption(state.at, view);
  element("position").textContent = `step ${state.t + 1} of ${found.steps.length}, ${state.at.replace("-", " ")}`;
  showOutputs();
  showRail();
  showWhatIfs();
  for (const [i, item] of [...document.querySelectorAll("#ideas li")].entries()) item.classList.toggle("now", IDEAS[i].at.includes(state.at));
  history.replaceState(null, "", writeAddress({ ...state, model: state.file ? null : state.model }, (id) => model.piece(id)));
}

function showOutputs() {
  const now = SUBSTEPS.indexOf(state.at);
  element("outputs").replaceChildren(
    ...found.steps.map(({ token, forced, weights }, t) => {
      const isWritten = t < state.t || (t === state.t && now === SUBSTEPS.length - 1);
      const className = `${isWritten ? "" : "later"} ${forced ? "forced" : ""}`;
      const button = make("button", { className, title: "below: where it looked" }, model.name(token), newMap(weights));
      if (t === state.t) button.setAttribute("aria-current", "step");
      button.setAttribute("aria-label", `step ${t + 1}, ${model.name(token)}`);
      button.addEventListener("click", () => go(t, state.at === "encode" ? "read" : state.at));
      return make("li", {}, button);
    }),
  );
  const [before, after] = [own, found].map(({ steps }) => model.text(steps.map(({ token }) => token)));
  element("changed").hidden = !isChanged();
  element("changed").textContent = before === after ? `With your changes it still writes “${after}”.` : `With your changes it writes “${after}” instead of “${before}”.`;
}

function showRail() {
  element("rail").replaceChildren(
    ...SUBSTEPS.map((at, i) => {
      const button = make("button", { textContent: at.replace("-", " "), className: i < SUBSTEPS.indexOf(state.at) ? "done" : "" });
      if (at === state.at) button.setAttribute("aria-current", "step");
      button.addEventListener("click", () => go(at === "encode" ? 0 : state.t, at));
      return button;
    }),
  );
}

function showWhatIfs() {
  element("uniform").setAttribute("aria-pressed", state.weights[state.t] === "uniform");
  element("uniform-every").setAttribute("aria-pressed", state.weights.every === "uniform");
  element("any").value = found.steps[state.t].forced ? found.steps[state.t].token : "";
  element("temperature").value = Math.log10(state.temperature);
  element("degrees").textContent = state.temperature.toFixed(2);
  element("reset").disabled = !isChanged();
}

async function showBeam() {
  const columns = await beamSearch(model, found.ids, Number(element("width").value));
  const greedy = { tokens: own.steps.map(({ token }) => token), logProb: own.logProb };
  const isGreedy = (tokens) => tokens.every((token, t) => token === greedy.tokens[t]);
  const follow = (tokens) => change({ tokens: isGreedy(tokens) ? {} : { ...tokens }, weights: {}, temperature: 1, t: 0, at: "read" });
  drawTree(element("tree"), columns, isGreedy, (id) => model.name(id));
  listAnswers(element("hypotheses"), columns, greedy, (tokens) => model.text(tokens), follow);
}

// What-ifs.

function change(changes) {
  Object.assign(state, changes);
  return explain();
}

const force = (id) => change({ tokens: { ...state.tokens, [state.t]: id } });

// One weight is set, and the others share the rest as before.
function editWeight(s, weight) {
  const weights = Float32Array.from(found.steps[state.t].weights);
  const rest = weights.reduce((sum, x) => sum + x, 0) - weights[s];
  const others = (x) => (rest > 1e-6 ? (x * (1 - weight)) / rest : (1 - weight) / (weights.length - 1));
  change({ weights: { ...state.weights, [state.t]: weights.map((x, i) => (i === s ? weight : others(x))) } });
}

function toggleUniform(key) {
  const { [key]: given, ...others } = state.weights;
  change({ weights: given === "uniform" ? others : { ...others, [key]: "uniform" } });
}

element("uniform").addEventListener("click", () => toggleUniform(state.t));
element("uniform-every").addEventListener("click", () => toggleUniform("every"));
element("any").addEventListener("change", ({ target }) => target.value && force(Number(target.value)));
element("temperature").addEventListener("input", ({ target }) => change({ temperature: Number((10 ** target.value).toFixed(3)) }));
element("reset").addEventListener("click", () => change({ tokens: {}, weights: {}, temperature: 1 }));
element("width").addEventListener("change", () => queued(showBeam));
element("text").addEventListener("input", ({ target }) => change({ text: target.value, tokens: {}, weights: {}, t: 0 }));

// Where we are.

function go(t, at) {
  if (!found) return;
  Object.assign(state, { t: Math.min(Math.max(t, 0), found.steps.length - 1), at });
  show();
  scrollToNow();
}

function scrollToNow() {
  const smooth = matchMedia("(prefers-reduced-motion: no-preference)").matches;
  document.querySelector(".block.now").scrollIntoView({ block: "nearest", behavior: smooth ? "smooth" : "auto" });
}

function move(by) {
  const index = SUBSTEPS.indexOf(state.at) + by;
  if (index >= SUBSTEPS.length) return state.t + 1 < found.steps.length ? go(state.t + 1, SUBSTEPS[1]) : stop();
  if (index < (state.t ? 1 : 0)) return state.t ? go(state.t - 1, SUBSTEPS.at(-1)) : null;
  return go(state.t, SUBSTEPS[index]);
}

function stop() {
  clearInterval(playing);
  playing = null;
  element("play").setAttribute("aria-pressed", false);
}

function play() {
  if (playing) return stop();
  playing = setInterval(() => move(1), 2500);
  return element("play").setAttribute("aria-pressed", true);
}

const later = (at) => (at === "encode" ? "read" : at);
const KEYS = {
  ArrowRight: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowDown: () => go(state.t + 1, later(state.at)),
  ArrowUp: () => go(state.t - 1, state.at),
  Home: () => go(0, "encode"),
  End: () => go(found.steps.length - 1, "choose"),
  " ": play,
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, .wide");
  const isButton = event.target.closest("button, summary, a") && event.key === " ";
  if (typing || isButton || !KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey || !found) return;
  event.preventDefault();
  KEYS[event.key]();
});
element("forward").addEventListener("click", () => move(1));
element("back").addEventListener("click", () => move(-1));
element("play").addEventListener("click", play);
document.addEventListener("point", ({ detail }) => found && showEquation(detail, { ...found, step: found.steps[state.t] }));

showIdeas(element("ideas").lastElementChild, (at) => go(at === "encode" ? 0 : state.t, at));

// Files: chosen, dropped, or named in the address.

const open = (file) =>
  queued(async () => {
    delete document.body.dataset.done;
    await load(await file.arrayBuffer(), file.name);
    Object.assign(state, { file: file.name, tokens: {}, weights: {}, temperature: 1, t: 0, at: "encode" });
    explain();
  });
element("file").addEventListener("change", ({ target }) => open(target.files[0]));
for (const [name, shown] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    element("drop").hidden = !shown;
    if (name === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}

queued(async () => {
  const address = state.model ?? DEFAULTS.model;
  state.text ??= DEFAULTS.text;
  element("text").value = state.text;
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`There is no model at ${address}. Choose or drop a .tflite file.`);
  await load(await answer.arrayBuffer(), address.split("/").at(-1));
  explain().then(scrollToNow);
});
window.explainer = { state, model: () => model, found: () => found }; // for the test of this page
