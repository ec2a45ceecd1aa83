// A vector as a strip of coloured cells: blue is negative, orange is positive, pale is near zero.
const [NEGATIVE, POSITIVE] = ["0, 114, 178", "213, 94, 0"]; // colours that the colour-blind can tell apart

// An empty strip. `space` names the axis that it shares with other strips: pointing at a number marks it in all of them.
export function newStrip(tensor, label, space = tensor) {
  const strip = document.createElement("div");
  Object.assign(strip.dataset, { tensor, space });
  strip.className = "strip";
  strip.append(document.createElement("canvas"));
  for (const [name, value] of [["role", "slider"], ["tabindex", "0"], ["aria-readonly", "true"], ["aria-valuemin", "0"]]) {
    strip.setAttribute(name, value);
  }
  strip.setAttribute("aria-label", label);
  for (const name of ["pointerdown", "pointermove"]) {
    strip.addEventListener(name, (event) => {
      const box = strip.getBoundingClientRect();
      point(strip, Math.floor(((event.clientX - box.left) / box.width) * strip.values.length));
    });
  }
  strip.addEventListener("pointerleave", () => point(strip, null));
  strip.addEventListener("focus", () => point(strip, strip.index ?? 0));
  strip.addEventListener("blur", () => point(strip, null));
  strip.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere these keys change the sub-step
    point(strip, (strip.index ?? 0) + move);
  });
  return strip;
}

// Shows values; `scale` is the one with the full colour.
export function fill(strip, values, scale = largestOf(values)) {
  strip.values = values;
  const canvas = strip.firstChild;
  const context = canvas.getContext("2d");
  if (canvas.width !== values.length) [canvas.width, canvas.height] = [values.length, 1];
  context.clearRect(0, 0, values.length, 1);
  values.forEach((value, i) => {
    context.fillStyle = `rgba(${value < 0 ? NEGATIVE : POSITIVE}, ${Math.min(Math.abs(value) / scale, 1)})`;
    context.fillRect(i, 0, 1, 1);
  });
  strip.setAttribute("aria-valuemax", values.length - 1);
  describe(strip, strip.index ?? 0);
  return strip;
}

// The weights of a step as a small picture.
export function newMap(weights) {
  const canvas = Object.assign(document.createElement("canvas"), { className: "map", width: weights.length, height: 1 });
  const context = canvas.getContext("2d");
  weights.forEach((weight, s) => {
    context.fillStyle = `rgba(${NEGATIVE}, ${weight})`;
    context.fillRect(s, 0, 1, 1);
  });
  return canvas;
}

export const largestOf = (...vectors) => Math.max(1e-9, ...vectors.map((values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)));

function describe(strip, index) {
  const at = Math.min(Math.max(index, 0), strip.values.length - 1);
  strip.setAttribute("aria-valuenow", at);
  strip.setAttribute("aria-valuetext", `number ${at + 1} of ${strip.values.length}: ${strip.values[at].toFixed(4)}`);
  return at;
}

// Marks a number in all strips of its space, and tells the page about it.
function point(strip, index) {
  const at = index === null ? null : describe(strip, index);
  strip.index = at;
  for (const other of document.querySelectorAll(`.strip[data-space="${strip.dataset.space}"]`)) {
    other.classList.toggle("pointed", at !== null);
    if (at !== null) other.style.setProperty("--at", (at + 0.5) / strip.values.length);
  }
  strip.dispatchEvent(new CustomEvent("point", { bubbles: true, detail: { strip, index: at } }));
}
