"""A worker: the same model in PyTorch, as its tutorials write it."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from workers import END_ID, NEVER, serve, walls


class Seq2Seq(nn.Module):
    """BiLSTM, a tanh bridge, LSTM, the general score, tanh of [h; C], a linear head."""

    def __init__(self, vocabulary_size, units, embedding_dim):
        super().__init__()
        self.source_embedding = nn.Embedding(vocabulary_size, embedding_dim, padding_idx=None)
        self.target_embedding = nn.Embedding(vocabulary_size, embedding_dim, padding_idx=None)
        self.encoder = nn.LSTM(embedding_dim, units // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(embedding_dim, units, batch_first=True)
        self.bridge_h = nn.Linear(units, units)
        self.bridge_c = nn.Linear(units, units)
        self.score = nn.Linear(units, units, bias=False)
        self.combine = nn.Linear(2 * units, units, bias=False)
        self.head = nn.Linear(units, vocabulary_size)

    def encode(self, source):
        lengths = (source != 0).sum(1)
        packed = pack_padded_sequence(
            self.source_embedding(source), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        memory, (last, _) = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=source.shape[1])
        final = torch.cat([last[0], last[1]], dim=1)
        states = torch.tanh(self.bridge_h(final))[None], torch.tanh(self.bridge_c(final))[None]
        return memory, self.score(memory), source == 0, states

    def decode(self, target, memory, keys, padding, states):
        h, states = self.decoder(self.target_embedding(target), states)
        scores = torch.bmm(h, keys.transpose(1, 2)).masked_fill(padding[:, None], -torch.inf)
        context = torch.bmm(torch.softmax(scores, dim=2), memory)
        return self.head(torch.tanh(self.combine(torch.cat([h, context], dim=2)))), states

    def forward(self, source, target):
        memory, keys, padding, states = self.encode(source)
        return self.decode(target, memory, keys, padding, states)[0]

    @torch.inference_mode()
    def greedy(self, source, max_length):
        memory, keys, padding, states = self.encode(source)
        token = torch.full((len(source), 1), END_ID)
        ended = torch.zeros(len(source), dtype=torch.bool)
        tokens = []
        for _ in range(max_length):
            logits, states = self.decode(token, memory, keys, padding, states)
            token = logits.argmax(2)
            token[ended] = 0
            tokens.append(token)
            ended |= token[:, 0] == END_ID
            if ended.all():
                break
        return torch.cat(tokens, dim=1)


class Torch:
    def make(self, vocabulary_size, units, embedding_dim, folder, as_trained=False):
        self.as_trained, self.sums = as_trained, torch.zeros(5)
        self.folder = Path(folder)
        self.model = Seq2Seq(vocabulary_size, units, embedding_dim)
        self._load(np.load(self.folder / "weights.npz"))
        self.optimizer = torch.optim.Adam(
            [weight for weight in self.model.parameters() if weight.requires_grad],
            lr=1e-3,
            eps=1e-7,  # as in Keras
            fused=True,
        )

    def _load(self, weights):
        model = self.model
        for lstm, name, suffix in (
            (model.encoder, "forward", ""),
            (model.encoder, "backward", "_reverse"),
            (model.decoder, "decoder", ""),
        ):
            kernel, recurrent, bias = (torch.tensor(weights[f"{name}_{i}"]) for i in range(3))
            getattr(lstm, f"weight_ih_l0{suffix}").data = kernel.T.contiguous()
            getattr(lstm, f"weight_hh_l0{suffix}").data = recurrent.T.contiguous()
            getattr(lstm, f"bias_ih_l0{suffix}").data = bias
            second = getattr(
                lstm, f"bias_hh_l0{suffix}"
            )  # Keras has one bias; two would learn twice as fast
            second.data = torch.zeros_like(bias)
            second.requires_grad = False
        for name in ("bridge_h", "bridge_c", "combine", "head", "score"):
            layer = getattr(model, name)
            layer.weight.data = torch.tensor(weights[f"{name}_0"]).T.contiguous()
            if layer.bias is not None:
                layer.bias.data = torch.tensor(weights[f"{name}_1"])
        for name in ("source_embedding", "target_embedding"):
            getattr(model, name).weight.data = torch.tensor(weights[f"{name}_0"])
        self.model.encoder.flatten_parameters()
        self.model.decoder.flatten_parameters()

    def data(self, names):
        self.batches = {}
        for name in names:
            arrays = np.load(self.folder / f"{name}.npz")
            self.batches[name] = [
                [torch.tensor(arrays[f"{key}_{i}"]).long() for key in ("source", "target", "answers")]
                for i in range(int(arrays["count"]))
            ]

    def train(self, name):
        self.model.train()
        for batch in self.batches[name]:
            self._step(*batch)

    def _step(self, source, target, answers):
        self.optimizer.zero_grad()
        logits = self.model(source, target)
        smoothing = 0.1 if self.as_trained else 0.0
        loss = cross_entropy(
            logits.flatten(0, 1), answers.flatten(), ignore_index=0, label_smoothing=smoothing
        )
        loss.backward()
        if self.as_trained:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.as_trained:
            self._measure(logits.detach(), answers)

    @torch.no_grad()
    def _measure(self, logits, answers):
        """What our metrics measure: token accuracy, exact match, cross-entropy without smoothing."""
        real = answers != 0
        right = logits[..., 1:].argmax(2) + 1 == answers
        losses = cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=0, reduction="sum")
        match = (right | ~real).all(1)
        counts = [(right & real).sum(), real.sum(), match.sum(), real.any(1).sum(), losses]
        self.sums += torch.stack([count.float() for count in counts])

    def logits(self):
        batch = self.batches["random"][0]
        before = self._logits(*batch)
        self._step(*batch)
        np.save(self.folder / "logits_torch.npy", [before, self._logits(*batch)])

    @torch.no_grad()
    def _logits(self, source, target, _):
        return self.model(source, target).numpy()

    def never_end(self):
        self.model.head.bias.data[[0, END_ID]] = NEVER
        self.model.eval()

    def decode(self, batch, repeats, max_length):
        source = torch.tensor(np.load(self.folder / f"source_{batch}.npy")).long()
        tokens = self.model.greedy(source, max_length)
        np.save(self.folder / f"tokens_greedy_decode_{batch}_torch.npy", tokens.numpy())
        return walls(lambda: self.model.greedy(source, max_length), repeats)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    peer = Torch()
    serve({name: getattr(peer, name) for name in dir(peer) if not name.startswith("_")})
