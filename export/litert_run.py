"""Runs a LiteRT file with both interfaces of ai_edge_litert. A separate program, without this package.

    python litert_run.py FILE.tflite IN.npz OUT.npz

IN holds `source/<input>` (N, ...), `start_id`, `end_id`, `max_length`, the sizes `<signature>_tokens` and
`<signature>_scores`, and `text` (N,) if there are text signatures. OUT gets
`<interface>/<signature>/<output>` (N, ...). In a separate process, a file that crashes the runtime crashes
nothing else, and the runtime's log does not get in the way.
"""

import functools
import sys

import numpy as np

SOURCE = "source/"
STEPS = ("decode_step", "explain_step")  # of a loop outside the file


def run_interpreter(path, requests):
    from ai_edge_litert.interpreter import Interpreter, InterpreterWithCustomOps

    if "text" in requests:
        import tensorflow_text

        operators = tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS
        interpreter = InterpreterWithCustomOps(custom_op_registerers=operators, model_path=path)
    else:
        interpreter = Interpreter(model_path=path)
    runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    calls = {name: run for name, run in runners.items() if name not in ("encode", *STEPS)}
    calls |= {name: functools.partial(drive, name, runners, requests) for name in STEPS if name in runners}
    texts = [{"text": np.expand_dims(text, 0)} for text in requests.get("text", ())]
    given = {name: texts if name.startswith("translate") else sources(requests) for name in calls}
    for name, inputs in alternating(given):
        yield f"interpreter/{name}", calls[name](**inputs)


def alternating(given):
    """Yields pairs of a name and one of its inputs. Each turn has one input of each name.

    The next turn starts with another name, so each signature also runs after others. In LiteRT.js that has
    changed answers (docs/upstream.md).
    """
    given = {name: list(inputs) for name, inputs in given.items()}
    names = list(given)
    for turn in range(max(map(len, given.values()), default=0)):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn < len(given[name]):
                yield name, given[name][turn]


def sources(requests):
    """The inputs of each source by name, a batch of one."""
    named = {name.removeprefix(SOURCE): x for name, x in requests.items() if name.startswith(SOURCE)}
    for row in range(len(next(iter(named.values())))):
        yield {name: values[row : row + 1] for name, values in named.items()}


def drive(name, runners, requests, **inputs):
    """Greedy decoding with `encode` and a signature for a step, as an app would do it."""
    encoded = runners["encode"](**inputs)
    if name == "explain_step":  # negative: the model's own
        encoded["given_weights"] = np.full(encoded["memory_mask"].shape, -1, "float32")
    token, score = np.array([requests["start_id"]], "int32"), np.float32(0)
    tokens = np.zeros((1, int(requests["max_length"])), "int32")
    for t in range(tokens.shape[1]):
        found = runners[name](token=token, **encoded)
        token = np.array([found["log_probs"][0].argmax()], "int32")
        tokens[0, t], score = token[0], score + found["log_probs"][0].max()
        if token[0] == requests["end_id"]:
            break
        encoded.update({name: value for name, value in found.items() if name.startswith("state_")})
    return {"tokens": tokens, "scores": np.array([score])}


def run_compiled(path, requests):
    from ai_edge_litert.compiled_model import CompiledModel

    model = CompiledModel.from_file(path)
    signatures = model.get_signature_list()
    names = [name for name in ("greedy_decode", "beam_decode") if name in signatures]
    for name, source in alternating({name: sources(requests) for name in names}):
        index = model.get_signature_index(name)
        inputs, outputs = model.create_input_buffers(index), model.create_output_buffers(index)
        for buffer, key in zip(inputs, signatures[name]["inputs"], strict=True):
            buffer.write(source[key])
        model.run_by_index(index, inputs, outputs)
        found = dict(zip(signatures[name]["outputs"], outputs, strict=True))
        yield (
            f"compiled/{name}",
            {
                "tokens": found["tokens"].read(int(requests[f"{name}_tokens"]), np.int32),
                "scores": found["scores"].read(int(requests[f"{name}_scores"]), np.float32),
            },
        )


def main(path, given, written):
    requests = dict(np.load(given, allow_pickle=False))
    found = {}
    for run in (run_interpreter, run_compiled):
        for name, outputs in run(path, requests):
            for output, value in outputs.items():
                value = value.astype("S") if value.dtype == object else value
                found.setdefault(f"{name}/{output}", []).append(value)
    np.savez(written, **{name: np.array(values) for name, values in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
