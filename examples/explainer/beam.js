// Beam search without penalties, driven in JavaScript by the signature `explain_step`, and its tree as a picture.
import { make } from "./make.js";
import { best, OWN } from "./model.js";

// The hypotheses kept at each step, best first. Each has the step it came from as its parent.
export async function beamSearch(model, ids, width) {
  const first = await model.encode(ids);
  const own = new Float32Array(first.memory_mask.values.length).fill(OWN);
  let kept = [{ token: model.limits.start_id, logProb: 0, parent: null, state: first, ended: false }];
  const columns = [];
  while (columns.length < model.limits.max_length && kept.some(({ ended }) => !ended)) {
    const candidates = [];
    for (const parent of kept) {
      if (parent.ended) {
        candidates.push({ ...parent, parent, carried: true });
        continue;
      }
      const { found, state } = await model.step(parent.token, own, parent.state);
      const logProbs = found.log_probs.values;
      for (const token of best(logProbs, width)) {
        const ended = token === model.limits.end_id;
        candidates.push({ token, logProb: parent.logProb + logProbs[token], parent, state, ended });
      }
    }
    kept = candidates.sort((one, other) => other.logProb - one.logProb).slice(0, width);
    columns.push(kept);
  }
  return columns;
}

// A hypothesis -> its path, from the first token to the last.
export function pathOf(hypothesis) {
  const path = [];
  for (let node = hypothesis; node.parent; node = node.parent) if (!node.carried) path.unshift(node);
  return path;
}

const [COLUMN, ROW, RADIUS] = [84, 46, 15];

// The tree as an SVG: a column for each step, the best hypothesis on top. `greedy` is the path of greedy decoding.
export function drawTree(svg, columns, greedy, name) {
  const winner = new Set(pathOf(columns.at(-1)[0]));
  const alive = new Set(columns.at(-1).flatMap(pathOf));
  const places = new Map();
  const rows = Math.max(...columns.map((kept) => kept.length));
  columns.forEach((kept, t) => kept.forEach((node, k) => places.set(node, [COLUMN * (t + 1) + 30, ROW * k + 28])));
  const root = [30, 28];
  const [lines, nodes] = [[], []];
  for (const [node, [x, y]] of places) {
    if (node.carried) continue;
    const [from, to] = places.get(node.parent) ?? root;
    const kind = winner.has(node) ? "best" : alive.has(node) ? "" : "dropped";
    const middle = (from + x) / 2;
    lines.push(`<path class="${kind}" d="M${from + RADIUS},${to} C${middle},${to} ${middle},${y} ${x - RADIUS},${y}"/>`);
    const isGreedy = greedy(pathOf(node).map(({ token }) => token));
    const label = name(node.token);
    const width = Math.max(RADIUS, 4.2 * label.length + 6);
    nodes.push(`<g class="${kind} ${isGreedy ? "greedy" : ""}"><rect x="${x - width}" y="${y - RADIUS}" width="${2 * width}"
      height="${2 * RADIUS}" rx="${RADIUS}"/><text x="${x}" y="${y + 5}">${escaped(label)}</text>
      <text class="small" x="${x}" y="${y + 27}">${node.logProb.toFixed(2)}</text></g>`);
  }
  const [width, height] = [COLUMN * (columns.length + 1), ROW * rows + 20];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  Object.assign(svg.style, { width: `${width}px`, height: `${height}px` });
  svg.innerHTML = `${lines.join("")}<circle class="best" cx="${root[0]}" cy="${root[1]}" r="6"/>${nodes.join("")}`;
}

const escaped = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

// The answers as a table: that of greedy decoding, then those of the beam. `follow(tokens)` goes through one.
export function listAnswers(table, columns, greedy, text, follow) {
  const line = (label, { tokens, logProb }) => {
    const button = make("button", { textContent: "watch it" });
    button.addEventListener("click", () => follow(tokens));
    const cells = [label, text(tokens), logProb.toFixed(4)].map((textContent) => make("td", { textContent }));
    return make("tr", {}, ...cells, make("td", {}, button));
  };
  const names = ["", "it writes", "log-probability", ""];
  const head = make("tr", {}, ...names.map((textContent) => make("th", { scope: "col", textContent })));
  const answers = columns.at(-1).map((node) => ({ tokens: pathOf(node).map(({ token }) => token), logProb: node.logProb }));
  table.replaceChildren(head, line("greedy (dashed)", greedy), ...answers.map((answer, k) => line(`beam, ${k + 1}`, answer)));
}
