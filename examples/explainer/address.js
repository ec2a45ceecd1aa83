// The position and the what-ifs in the address: ?text=THOUGH&step=3&at=softmax&token=2:DH&weights=1:uniform
import { SUBSTEPS } from "./captions.js";

export function readAddress(search) {
  const asked = new URLSearchParams(search);
  const weights = {};
  for (const part of (asked.get("weights") ?? "").split(";").filter(Boolean)) {
    const [step, given] = part.includes(":") ? part.split(":") : ["every", part];
    const key = step === "every" ? step : step - 1;
    weights[key] = given === "uniform" ? given : Float32Array.from(given.split(","), Number);
  }
  const tokens = {};
  for (const part of asked.getAll("token")) {
    const [step, ...name] = part.split(":");
    tokens[step - 1] = name.join(":");
  }
  return {
    model: asked.get("model"),
    text: asked.get("text"),
    t: Math.max(0, (Number.parseInt(asked.get("step")) || 1) - 1),
    at: SUBSTEPS.includes(asked.get("at")) ? asked.get("at") : "encode",
    temperature: Math.min(Math.max(Number(asked.get("temperature")) || 1, 0.1), 10),
    weights,
    tokens, // pieces, which the page looks up in the vocabulary of the model
  };
}

export function writeAddress({ model, text, t, at, temperature, weights, tokens }, piece) {
  const parts = new URLSearchParams();
  if (model) parts.set("model", model);
  parts.set("text", text);
  parts.set("step", t + 1);
  parts.set("at", at);
  for (const [step, id] of Object.entries(tokens)) parts.append("token", `${Number(step) + 1}:${piece(id)}`);
  const given = Object.entries(weights).map(([step, values]) => {
    const written = values === "uniform" ? values : Array.from(values, (x) => Number(x.toFixed(4))).join(",");
    return step === "every" ? written : `${Number(step) + 1}:${written}`;
  });
  if (given.length) parts.set("weights", given.join(";"));
  if (temperature !== 1) parts.set("temperature", temperature);
  return `?${parts.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3B", ";").replaceAll("%2F", "/")}`;
}
