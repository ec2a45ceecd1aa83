// A .tflite of keras_attention, run step by step with its signatures `encode` and `explain_step`.
import { Tensor } from "@litertjs/core";
import { Decoder } from "../web/decoder.js";
import { Translator } from "../web/translator.js";

export const OWN = -1; // in given weights: the model's own
const SPACE = "\u2581"; // how SentencePiece writes a space

export class Model {
  static async load(buffer) {
    const decoder = await Decoder.load(buffer);
    const { files, limits } = decoder;
    if (!limits.signatures.includes("explain_step")) {
      throw new Error("The file has no signature explain_step. Export the model again with this version.");
    }
    if (Object.keys(limits.source).join() !== "source" || !limits.source.source.vocabulary_size) {
      throw new Error("This page takes models that read one text or a list of ids.");
    }
    return new Model(decoder, lines(files["source_vocabulary.txt"]), lines(files["target_vocabulary.txt"]));
  }

  constructor(decoder, source, target) {
    Object.assign(this, { decoder, limits: decoder.limits, source, target });
    this.kind = source ? this.limits.source_tokenizer : "ids";
    if (source) this.translator = new Translator(decoder, source, target);
  }

  get sizes() {
    return { vocabulary: this.limits.target_vocabulary_size, endId: this.limits.end_id };
  }

  // Text -> {pieces, ids, cut}, the end included. Kinds without a tokenizer in this page take pieces with spaces between.
  tokenize(text) {
    if (this.kind === "char") return this.translator.tokenize(text);
    const { source_length, source_end_id, unknown_id } = this.limits;
    const words = text.normalize("NFKC").split(/\s+/u).filter(Boolean);
    const idOf = (word) => Math.max(this.source.indexOf(SPACE + word), this.source.indexOf(word));
    const found = words.map((word) => (this.kind === "ids" ? Number.parseInt(word) || unknown_id : idOf(word)));
    const ids = found.slice(0, source_length - 1).map((id) => (id < 0 ? unknown_id : id));
    return {
      pieces: [...words.slice(0, ids.length), "$"],
      ids: [...ids, source_end_id],
      cut: words.length - ids.length,
    };
  }

  // Id -> how the address writes it.
  piece(id) {
    return this.target?.[id] ?? String(id);
  }

  // Id -> how this page writes it.
  name(id) {
    if (id === this.limits.end_id) return "‹end›";
    return this.target ? this.target[id].replaceAll(SPACE, " ").trim() || "space" : String(id);
  }

  text(ids) {
    const written = ids.filter((id) => id !== this.limits.end_id);
    return this.target ? this.translator.detokenize(written.map((id) => this.target[id])) : written.join(" ");
  }

  // Ids -> what the first step needs: {name: {values, shape}}.
  async encode(ids) {
    const source = new Int32Array(this.limits.source_length);
    source.set(ids);
    return this.run(this.decoder.encoder, "encode", { source: { values: source, shape: [1, source.length] } });
  }

  // One step: an id, weights for all places of the memory (negative: the model's own), and what the last step left.
  async step(token, given, state) {
    const inputs = {
      ...state,
      token: { values: Int32Array.of(token), shape: [1] },
      given_weights: { values: given, shape: state.memory_mask.shape },
    };
    const found = await this.run(this.decoder.stepper, "explain_step", inputs);
    const states = Object.entries(found).filter(([name]) => name.startsWith("state_"));
    return { found, state: { ...state, ...Object.fromEntries(states) } };
  }

  async run(compiled, signature, inputs) {
    const tensors = {};
    for (const [name, { values, shape }] of Object.entries(inputs)) tensors[name] = new Tensor(values, shape);
    const found = await compiled.run(signature, tensors);
    for (const tensor of Object.values(tensors)) tensor.delete();
    const outputs = {};
    for (const [name, tensor] of Object.entries(found)) {
      outputs[name] = { values: tensor.toTypedArray().slice(), shape: [...tensor.type.layout.dimensions] };
      tensor.delete();
    }
    return outputs;
  }

  // Decodes greedily, with changes, and keeps everything; as `explain` of keras_attention.
  async explain(ids, { tokens = {}, weights = {}, temperature = 1 } = {}) {
    let state = await this.encode(ids);
    const [length, places, depth] = [ids.length, state.memory_mask.values.length, state.memory.shape[2]];
    const memory = ids.map((_, s) => state.memory.values.subarray(s * depth, (s + 1) * depth));
    const steps = [];
    let [fed, previous] = [this.limits.start_id, state.state_0.values];
    while (steps.length < this.limits.max_length && steps.at(-1)?.token !== this.limits.end_id) {
      const t = steps.length;
      const given = new Float32Array(places).fill(OWN);
      given.set(givenWeights(weights[t] ?? weights.every, length));
      const { found, state: next } = await this.step(fed, given, state);
      const step = { fed, previous, given: weights[t] ?? weights.every ?? null };
      for (const name of ["embedding", "h", "context", "vector"]) step[name] = found[name].values;
      for (const name of ["scores", "weights"]) step[name] = found[name].values.subarray(0, length);
      step.logProbs = atTemperature(found.log_probs.values, temperature);
      step.likeliest = likeliest(found.log_probs.values);
      step.forced = tokens[t] !== undefined && tokens[t] !== step.likeliest;
      step.token = tokens[t] ?? step.likeliest;
      steps.push(step);
      [fed, previous, state] = [step.token, step.h, next];
    }
    return { memory, steps, logProb: steps.reduce((sum, { logProbs, token }) => sum + logProbs[token], 0) };
  }
}

const lines = (bytes) => bytes && new TextDecoder().decode(bytes).split("\n").slice(0, -1);

export function givenWeights(given, length) {
  if (given === "uniform") return new Float32Array(length).fill(1 / length);
  return given ?? new Float32Array(length).fill(OWN);
}

// The ids of the largest numbers, largest first. Padding (0) is never written.
export function best(logProbs, count) {
  const ids = Array.from(logProbs.keys()).slice(1);
  return ids.sort((one, other) => logProbs[other] - logProbs[one]).slice(0, count);
}

const likeliest = (logProbs) => best(logProbs, 1)[0];

function atTemperature(logProbs, temperature) {
  if (temperature === 1) return logProbs;
  const scaled = logProbs.map((x) => x / temperature);
  scaled[0] = -Infinity; // padding, which LiteRT stores as the most negative number
  const most = Math.max(...scaled);
  const total = Math.log(scaled.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return scaled.map((x) => x - most - total);
}
