"""Training on a GPU: real target tokens per second, on JAX and in PyTorch.

    KERAS_BACKEND=jax python benchmarks/gpu.py [--units 256 512 1024] [--batch-sizes 64 256]

Both train the same model on the same batches, sorted by length, with label smoothing, clipping and the same
metrics. Ours takes `train`'s optimizer, Muon, and pads batches to a few shapes, because JAX compiles each;
PyTorch takes the fused Adam, with cuDNN's LSTM. With input feeding PyTorch loops over the steps, as
OpenNMT-py does. Matrices are multiplied in TensorFloat-32 in both. The first two passes, in which shapes
are compiled, are not counted.
"""

import argparse
import itertools
import time

import jax
import keras
import lengths
import numpy as np
import torch
from peer_torch import Seq2Seq, Torch
from torch import nn

import keras_attention as ka
from keras_attention.text.batches import Order
from keras_attention.training.compiling import compile_model
from keras_attention.training.options import Options

EMBEDDING = 128
PASSES = 3  # that are timed; the fastest counts
DATA = {"words": (50, 64 * 128), "sentences": (8000, 64 * 64)}  # vocabulary, pairs


class InputFeeding(Seq2Seq):
    """The same model with input feeding, one step after the other."""

    def __init__(self, vocabulary_size, units, embedding_dim):
        super().__init__(vocabulary_size, units, embedding_dim)
        del self.decoder
        self.cell = nn.LSTMCell(embedding_dim + units, units)

    def decode(self, target, memory, keys, padding, states):
        h, c = (state[0] for state in states)
        fed, vectors = torch.zeros_like(h), []
        for embedded in self.target_embedding(target).unbind(1):
            h, c = self.cell(torch.cat([embedded, fed], 1), (h, c))
            scores = torch.bmm(keys, h[:, :, None])[:, :, 0].masked_fill(padding, -torch.inf)
            context = torch.bmm(torch.softmax(scores, dim=1)[:, None], memory)[:, 0]
            fed = torch.tanh(self.combine(torch.cat([h, context], dim=1)))
            vectors.append(fed)
        return self.head(torch.stack(vectors, 1)), (h, c)


def seconds_of_ours(pairs, vocabulary_size, units, batch_size, input_feeding) -> tuple[float, float]:
    """The seconds of a pass of `model.fit` over the pairs."""
    keras.utils.set_random_seed(0)
    model = ka.Seq2Seq(
        ka.Encoder(vocabulary_size, EMBEDDING, units),
        ka.AttentionDecoder(vocabulary_size, EMBEDDING, units, input_feeding=input_feeding),
    )
    compile_model(model, Options(epochs=30).for_pairs(64 * 10**6), num_batches=10**6)
    batches = pairs.batches(batch_size, seed=0)

    def one_pass():
        model.fit(batches.dataset, verbose=0, shuffle=False)

    return fastest(one_pass)


def seconds_of_pytorch(pairs, vocabulary_size, units, batch_size, input_feeding) -> tuple[float, float]:
    """The seconds of a pass over the batches of the first epoch."""
    torch.manual_seed(0)
    order = Order(pairs.lengths(), batch_size, seed=0)
    batches = [[torch.tensor(side).cuda().long() for side in _rows(pairs, rows)] for rows in order.groups]
    peer = Torch()
    peer.as_trained, peer.sums = True, torch.zeros(5, device="cuda")
    peer.model = (InputFeeding if input_feeding else Seq2Seq)(vocabulary_size, units, EMBEDDING).cuda()
    peer.optimizer = torch.optim.Adam(peer.model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    peer.model.train()

    def one_pass():
        for batch in batches:
            peer._step(*batch)
        torch.cuda.synchronize()

    return fastest(one_pass)


def fastest(one_pass) -> tuple[float, float]:
    """The seconds of the fastest pass, and of the first two, which include compilation."""
    began = time.perf_counter()
    one_pass()  # later passes have other batches, perhaps with shapes that the first does not have
    one_pass()
    first = time.perf_counter() - began
    walls = []
    for _ in range(PASSES):
        began = time.perf_counter()
        one_pass()
        walls.append(time.perf_counter() - began)
    return min(walls), first


def _rows(pairs, rows):
    source, target = (
        ka.pad([ids[starts[row] : starts[row + 1]] for row in rows])
        for ids, starts in (pairs.source, pairs.target)
    )
    return source, np.asarray(ka.shift_right(target)), target


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--units", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--data", nargs="+", choices=DATA, default=[*DATA])
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{device}; jax {jax.__version__} on {jax.devices()}", end="; ")
    print(f"keras {keras.__version__}, torch {torch.__version__}")
    print(
        "| lengths, ids | units | batch | input feeding | ms per update | tokens/s "
        "| PyTorch, ms per update | tokens/s | times PyTorch | s to compile |\n" + "|---" * 10 + "|"
    )
    for data, units, batch_size, input_feeding in itertools.product(
        options.data, options.units, options.batch_sizes, (False, True)
    ):
        vocabulary_size, count = DATA[data]
        pairs = lengths.random_pairs(data, count, vocabulary_size)
        tokens = int(pairs.lengths()[1].sum())
        given = (pairs, vocabulary_size, units, batch_size, input_feeding)
        (ours, compiled), (theirs, _) = seconds_of_ours(*given), seconds_of_pytorch(*given)
        row = [f"{data}, {vocabulary_size:,}", units, batch_size, "yes" if input_feeding else "no"]
        for seconds in (ours, theirs):
            row += [f"{1000 * seconds * batch_size / count:.2f}", f"{tokens / seconds:,.0f}"]
        print("|", " | ".join(map(str, [*row, f"{theirs / ours:.2f}", f"{compiled:.0f}"])), "|", flush=True)


if __name__ == "__main__":
    main()
