// The sub-steps of a step, and what the page says at each of them.
export const SUBSTEPS = ["encode", "read", "recur", "score", "softmax", "weigh", "sum", "concatenate", "feed-forward", "choose"];

const percent = (weight) => `${(100 * weight).toFixed(weight < 0.0995 ? 1 : 0)}%`;
const quoted = (piece) => `“${piece}”`;
// A letter by its name, and by its place if it occurs more than once.
export const letter = (pieces, s) =>
  quoted(pieces[s]) + (pieces.indexOf(pieces[s]) === pieces.lastIndexOf(pieces[s]) ? "" : ` (letter ${s + 1})`);
const close = (one, other) => one.every((x, i) => Math.abs(x - other[i]) < 1e-3);

// The places with the largest numbers, largest first.
const largest = (numbers, count) =>
  Array.from(numbers.keys()).sort((one, other) => numbers[other] - numbers[one]).slice(0, count);

export function softmaxOf(scores) {
  const most = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

export function weightedSum(memory, weights) {
  return memory[0].map((_, i) => memory.reduce((sum, state, s) => sum + weights[s] * state[i], 0));
}

// What the model looks at, in words: "63% “O” and 21% “U”".
function looks(pieces, weights) {
  const parts = largest(weights, 3).filter((s, rank) => rank === 0 || weights[s] > 0.05);
  return parts.map((s) => `${percent(weights[s])} ${letter(pieces, s)}`).join(", ").replace(/, ([^,]*)$/, " and $1");
}

// (sub-step, step number t and what is known of it) -> a text of two or three sentences. `before` is the token of this step
// without what-ifs.
export function caption(subStep, { t, step, before, memory, pieces, name, vocabulary, endId }) {
  const { scores, weights, context, logProbs, token } = step;
  const top = largest(scores, 1)[0];
  switch (subStep) {
    case "encode":
      return (
        `The encoder has read ${quoted(pieces.slice(0, -1).join(""))} and keeps one state for each letter, and one for the end ($). ` +
        `A state is a list of ${memory[0].length} numbers, drawn as a strip: blue is negative, orange is positive. ` +
        "Together they are the memory. It never changes while the model writes."
      );
    case "read":
      return t === 0
        ? "Nothing is written yet, so the decoder reads the end sign. It looks up the embedding: a list of numbers that stands for this sign."
        : `The decoder reads what it wrote last, ${quoted(name(step.fed))}. It looks up the embedding: the list of numbers that stands for it.`;
    case "recur":
      return (
        "The recurrent network mixes the embedding with its previous state. The result is h: what the decoder remembers so far. " +
        "In this step it has not looked at the letters yet."
      );
    case "score":
      return (
        `Which letters matter now? Each state of the memory is compared with h and gets a score. The highest is ` +
        `${scores[top].toFixed(2)}, for ${letter(pieces, top)}.`
      );
    case "softmax":
      if (step.given) return `These are your weights, not the model's: ${looks(pieces, weights)}. The model's scores stay as they were.`;
      return (
        (close(softmaxOf(scores), weights)
          ? "The softmax turns the scores into positive numbers that add up to 1, the attention weights. "
          : "This model does not use a plain softmax of these scores, or it averages several heads. These are its weights. ") +
        `The decoder looks at ${looks(pieces, weights)}.`
      );
    case "weigh":
      return "Each state of the memory is multiplied by its weight. What the decoder looks at stays strong, everything else fades.";
    case "sum":
      return (
        (close(weightedSum(memory, weights), context)
          ? "The faded strips are added up, number by number. The sum is C, the context: "
          : "This model makes C from several heads, each with its own projection of the memory. C is the context: ") +
        `what the decoder sees of the letters right now. This C is ${looks(pieces, weights)}. Point at one of its numbers to see how it is made.`
      );
    case "concatenate":
      return "h is what the decoder remembers, C is what it sees. They are put side by side: [h; C].";
    case "feed-forward":
      return (
        "A feed-forward layer mixes h and C into one new list of numbers. Because of C, it depends on the letters that the decoder has " +
        "just looked at."
      );
    default:
      return (
        `A last layer gives each of the ${vocabulary - 1} possible outputs a probability. ` +
        (step.forced
          ? `You chose ${quoted(name(token))} (${percent(Math.exp(logProbs[token]))}) instead of ${quoted(name(step.likeliest))}. `
          : `The likeliest is ${quoted(name(token))}: ${percent(Math.exp(logProbs[token]))}. `) +
        (before !== undefined && before !== token ? `Without your changes it wrote ${quoted(name(before))} here. ` : "") +
        (token === endId ? "It is the end sign, so the decoder stops." : `The next step reads ${quoted(name(token))}.`)
      );
  }
}

export { percent };
