// The five sentences of the idea. A part in braces, {text|sub-step}, leads to the sub-step that shows it.
// `mark` is in a comment of `file` where the sentence happens.
import { make } from "./make.js";

export const IDEAS = [
  {
    text: "The encoder hands over all its hidden states, the {memory|encode}",
    file: "keras_attention/layers/encoder.py",
    mark: "Idea 1",
    at: ["encode"],
  },
  {
    text:
      "At each step the decoder RNN takes the {embedding|read} of the previous token and its previous state and yields " +
      "a new state {h|recur}",
    file: "keras_attention/layers/cell.py",
    mark: "Idea 2",
    at: ["read", "recur"],
  },
  {
    text:
      "Every memory state gets a {score|score} against h, a {softmax|softmax} makes them attention {weights|weigh}, and " +
      "the weighted sum of the memory is the {context C|sum}",
    file: "keras_attention/layers/context.py",
    mark: "Idea 3",
    at: ["score", "softmax", "weigh", "sum"],
  },
  {
    text: "{[h; C]|concatenate} are concatenated and go through a {feed-forward layer|feed-forward} that predicts the output token",
    file: "keras_attention/layers/cell.py",
    mark: "Idea 4",
    at: ["concatenate", "feed-forward", "choose"],
  },
  {
    text: "Repeat, {feeding the token back|read}, until the end token",
    file: "keras_attention/decoding/strategy.py",
    mark: "Idea 5",
    at: ["choose", "read"],
  },
];

const ROOT = "../../"; // of the project, from this page

// Lists the sentences. `go(subStep)` is called for a part that leads to a sub-step.
export function showIdeas(list, go) {
  for (const idea of IDEAS) {
    const parts = idea.text.split(/(\{[^}]*\})/).map((part) => (part.startsWith("{") ? link(part, go) : part));
    const item = make("li", {}, ...parts, ".");
    list.append(item);
    place(idea).then((where) => item.append(where ?? make("small", { textContent: ` (${idea.file})` })));
  }
}

function link(part, go) {
  const [textContent, subStep] = part.slice(1, -1).split("|");
  const button = make("button", { textContent });
  button.addEventListener("click", () => go(subStep));
  return button;
}

// Where an idea is in its file, with the code; undefined if the page is served without the code.
async function place({ file, mark }) {
  const answer = await fetch(ROOT + file).catch(() => null);
  if (!answer?.ok) return undefined;
  const lines = (await answer.text()).split("\n");
  const line = lines.findIndex((text) => text.includes(`# ${mark}`));
  const excerpt = lines.slice(line, line + 7);
  const indent = Math.min(...excerpt.filter((text) => text.trim()).map((text) => text.search(/\S/)));
  const code = make("pre", { textContent: excerpt.map((text) => text.slice(indent)).join("\n"), tabIndex: 0 });
  const summary = make("summary", { textContent: `${file.replace("keras_attention/", "")}, line ${line + 1}` });
  return make("details", {}, summary, code, make("a", { href: ROOT + file, textContent: "the whole file" }));
}
