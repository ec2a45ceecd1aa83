// A .tflite of keras_attention in the browser: text in, pieces and attention out, one step at a time.
import { Decoder } from "./decoder.js";

const SPACE = "\u2581"; // how SentencePiece writes a space
const KINDS = ["char"]; // with one piece per character; other kinds need SentencePiece itself

export class Translator {
  static async load(buffer) {
    const decoder = await Decoder.load(buffer);
    const { files, limits } = decoder;
    const text = (name) => new TextDecoder().decode(files[name]);
    if (!files["source.model"]) throw new Error("The file holds no tokenizers: it was made from a Seq2Seq.");
    if (files["features.model"]) throw new Error("This page has no field for features, which the model needs.");
    if (!KINDS.includes(limits.source_tokenizer)) {
      throw new Error(`This page tokenizes by ${KINDS}; the model's source tokenizer is ${limits.source_tokenizer}.`);
    }
    const [source, target] = ["source", "target"].map((side) => text(`${side}_vocabulary.txt`).split("\n").slice(0, -1));
    return new Translator(decoder, source, target);
  }

  constructor(decoder, source, target) {
    Object.assign(this, { decoder, limits: decoder.limits, target });
    this.idOf = new Map(source.map((piece, id) => [piece, id]));
  }

  // Text -> its pieces and ids, including the end, and how many were cut off. The text is normalized by SentencePiece's
  // nmt_nfkc rule, or to the Unicode form that the model was trained with.
  tokenize(text) {
    const clean = text.normalize(this.limits.source_unicode_form ?? "NFKC").replace(/\s+/gu, " ").trim();
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
    return {
      pieces: [...pieces.slice(0, kept), "$"],
      ids: [...ids.slice(0, kept), this.limits.source_end_id],
      cut: ids.length - kept,
    };
  }

  // Yields {piece, attention} as each is found; stops at the end id or at the maximum length.
  async *translate(ids) {
    const source = new Int32Array(this.limits.source_length);
    source.set(ids);
    for await (const { token, attention } of this.decoder.decode({ source: [source, [1, source.length]] })) {
      yield { piece: this.target[token], attention: attention.slice(0, ids.length) };
    }
  }

  // Pieces in the order in which they were written -> text.
  detokenize(pieces) {
    if (this.limits.right_to_left) pieces = [...pieces].reverse();
    const unknown = this.target[this.limits.unknown_id];
    const text = pieces.map((piece) => (piece === unknown ? " ⁇ " : piece)).join("").replaceAll(SPACE, " ").trim();
    return this.limits.target_unicode_form ? text.normalize("NFC") : text;
  }
}
