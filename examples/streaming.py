"""A layer and a language model, one step at a time, with a state that is saved and resumed elsewhere.

python examples/streaming.py
"""

import tempfile
from pathlib import Path

import torch

import unrolled


def main() -> None:
    layer = unrolled.GRU(6, 32).eval()
    sequence, state = torch.randn(100, 1, 6), None
    for x_t in sequence:
        y_t, state = layer.step(x_t, state)
    whole, _ = layer(sequence)
    print(f"step by step and whole differ by at most {(y_t - whole[-1]).abs().max().item():.1e}")

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("the cat sat on the mat. the dog sat on the log. " * 200)
        options = {"hidden_size": 48, "num_layers": 1}
        model = unrolled.train("generate", text, Path(folder) / "model", steps=150, options=options)
        session = model.stream().push("the cat sat on the m")
        session.save(Path(folder) / "session.state")
        again = model.stream().load(Path(folder) / "session.state")
        print("after 'the cat sat on the m':", repr(again.suggest(n=1)[0].text))


if __name__ == "__main__":
    main()
