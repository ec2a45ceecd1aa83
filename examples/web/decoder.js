// Drives the signatures `encode` and `decode_step` of a .tflite of keras_attention, one token at a time.
import { loadAndCompile, Tensor } from "@litertjs/core";
import { associatedFiles } from "./associated_files.js";

export class Decoder {
  static async load(buffer) {
    const files = await associatedFiles(buffer);
    const limits = JSON.parse(new TextDecoder().decode(files["keras_attention.json"]));
    // Two models of one file: with one, `encode` after `decode_step` gives wrong results for int8 files (LiteRT.js 2.5.3).
    const compile = () => loadAndCompile(new Uint8Array(buffer), { accelerator: "wasm" });
    return new Decoder(files, limits, await compile(), await compile());
  }

  constructor(files, limits, encoder, stepper) {
    Object.assign(this, { files, limits, encoder, stepper });
  }

  // {name: [typed array, shape]} -> yields {token, attention} as each is found, without the end id.
  async *decode(inputs) {
    const given = {};
    for (const [name, [values, shape]] of Object.entries(inputs)) given[name] = new Tensor(values, shape);
    const encoded = await this.encoder.run("encode", given);
    for (const tensor of Object.values(given)) tensor.delete();
    let token = this.limits.start_id;
    try {
      for (let t = 0; t < this.limits.max_length; t++) {
        const fed = new Tensor(Int32Array.of(token), [1]);
        const found = await this.stepper.run("decode_step", { ...encoded, token: fed });
        fed.delete();
        const { log_probs, attention, ...states } = found;
        token = likeliest(log_probs.toTypedArray());
        const weights = attention.toTypedArray().slice();
        log_probs.delete();
        attention.delete();
        for (const [name, state] of Object.entries(states)) {
          encoded[name].delete();
          encoded[name] = state;
        }
        if (token === this.limits.end_id) return;
        yield { token, attention: weights };
      }
    } finally {
      for (const tensor of Object.values(encoded)) tensor.delete();
    }
  }
}

function likeliest(logProbs) {
  let best = 0;
  for (let id = 1; id < logProbs.length; id++) if (logProbs[id] > logProbs[best]) best = id;
  return best;
}
