// A .tflite of keras_attention in the browser: text in, pieces and attention out, one step at a time.
import { loadAndCompile, Tensor } from "@litertjs/core";
import { associatedFiles } from "./associated_files.js";

const SPACE = "\u2581"; // how SentencePiece writes a space
const KINDS = ["char"]; // whose ids are a piece a character; others need SentencePiece itself

export class Translator {
  static async load(buffer) {
    const files = await associatedFiles(buffer);
    const text = (name) => new TextDecoder().decode(files[name]);
    const limits = JSON.parse(text("keras_attention.json"));
    if (!KINDS.includes(limits.source_tokenizer)) {
      throw new Error(`This page tokenizes by ${KINDS}; the model's source is of ${limits.source_tokenizer}.`);
    }
    const [source, target] = ["source", "target"].map((side) => text(`${side}_vocabulary.txt`).split("\n").slice(0, -1));
    const model = await loadAndCompile(new Uint8Array(buffer), { accelerator: "wasm" });
    return new Translator(model, limits, source, target);
  }

  constructor(model, limits, source, target) {
    Object.assign(this, { model, limits, target });
    this.idOf = new Map(source.map((piece, id) => [piece, id]));
  }

  // Text -> its pieces and ids, the end included: as SentencePiece's nmt_nfkc rule writes them.
  tokenize(text) {
    const clean = text.normalize("NFKC").replace(/\s+/gu, " ").trim();
    const [pieces, ids] = [[], []];
    for (const letter of clean.replaceAll(" ", SPACE)) {
      const id = this.idOf.get(letter) ?? this.limits.unknown_id;
      if (id === this.limits.unknown_id && ids.at(-1) === id) {
        pieces.push(pieces.pop() + letter); // unknown letters in a row are one piece
      } else {
        pieces.push(letter);
        ids.push(id);
      }
    }
    const kept = Math.min(ids.length, this.limits.source_length - 1);
    return { pieces: [...pieces.slice(0, kept), "$"], ids: [...ids.slice(0, kept), this.limits.source_end_id] };
  }

  // Yields {piece, attention} as each is found; stops at the end or at the greatest length.
  async *translate(ids) {
    const source = new Int32Array(this.limits.source_length);
    source.set(ids);
    const inputs = { source: new Tensor(source, [1, source.length]) };
    const encoded = await this.model.run("encode", inputs);
    inputs.source.delete();
    let token = this.limits.start_id;
    try {
      for (let t = 0; t < this.limits.max_length; t++) {
        const fed = new Tensor(Int32Array.of(token), [1]);
        const found = await this.model.run("decode_step", { ...encoded, token: fed });
        fed.delete();
        const { log_probs, attention, ...states } = found;
        token = likeliest(log_probs.toTypedArray());
        const weights = attention.toTypedArray().slice(0, ids.length);
        log_probs.delete();
        attention.delete();
        for (const [name, state] of Object.entries(states)) {
          encoded[name].delete();
          encoded[name] = state;
        }
        if (token === this.limits.end_id) return;
        yield { piece: this.target[token], attention: weights };
      }
    } finally {
      for (const tensor of Object.values(encoded)) tensor.delete();
    }
  }

  // Pieces -> text.
  detokenize(pieces) {
    const unknown = this.target[this.limits.unknown_id];
    return pieces.map((piece) => (piece === unknown ? " ⁇ " : piece)).join("").replaceAll(SPACE, " ").trim();
  }
}

function likeliest(logProbs) {
  let best = 0;
  for (let id = 1; id < logProbs.length; id++) if (logProbs[id] > logProbs[best]) best = id;
  return best;
}
