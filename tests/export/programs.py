"""Two programs as people write them with torch.nn alone: a word language model, and a tagger with a CRF."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LanguageModel(nn.Module):
    """Encoder, recurrent layers, decoder; with `tied`, the decoder's weight is the encoder's."""

    def __init__(self, kind: str, words: int, size: int, layers: int, dropout: float, tied: bool) -> None:
        super().__init__()
        self.words, self.kind = words, kind
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(words, size)
        if kind in ("LSTM", "GRU"):
            self.rnn = getattr(nn, kind)(size, size, layers, dropout=dropout)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[kind]
            self.rnn = nn.RNN(size, size, layers, nonlinearity=nonlinearity, dropout=dropout)
        self.decoder = nn.Linear(size, words)
        if tied:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.size, self.layers = size, layers

    def forward(self, tokens: Tensor, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(tokens)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.words)
        return nn.functional.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, batch: int):
        weight = next(self.parameters())
        zeros = weight.new_zeros(self.layers, batch, self.size)
        return (zeros, zeros.clone()) if self.kind == "LSTM" else zeros


def detached(hidden):
    return hidden.detach() if isinstance(hidden, Tensor) else tuple(detached(h) for h in hidden)


class Tagger(nn.Module):
    """A BiLSTM-CRF over one sentence at a time; the first label begins a sentence, the second ends it."""

    def __init__(self, words: int, labels: int, size: int) -> None:
        super().__init__()
        self.labels, self.size = labels, size
        self.embeds = nn.Embedding(words, size)
        self.lstm = nn.LSTM(size, size // 2, num_layers=1, bidirectional=True)
        self.hidden2tag = nn.Linear(size, labels)
        self.transitions = nn.Parameter(torch.randn(labels, labels))
        self.transitions.data[0, :] = -10000
        self.transitions.data[:, 1] = -10000

    def features(self, sentence: Tensor) -> Tensor:
        hidden = (torch.randn(2, 1, self.size // 2), torch.randn(2, 1, self.size // 2))
        output, _ = self.lstm(self.embeds(sentence).view(len(sentence), 1, -1), hidden)
        return self.hidden2tag(output.view(len(sentence), self.size))

    def neg_log_likelihood(self, sentence: Tensor, tags: Tensor) -> Tensor:
        feats = self.features(sentence)
        alpha = torch.full((self.labels,), -10000.0)
        alpha[0] = 0.0
        for feat in feats:
            alpha = torch.logsumexp(alpha + self.transitions + feat.unsqueeze(1), 1)
        total = torch.logsumexp(alpha + self.transitions[1], 0)
        path = torch.cat([torch.tensor([0]), tags])
        gold = self.transitions[path[1:], path[:-1]].sum() + feats.gather(1, tags.unsqueeze(1)).sum()
        return total - gold - self.transitions[1, path[-1]]
