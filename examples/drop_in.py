"""An LSTM in a torch model, replaced: same weights, same numbers, and a padded batch without packing.

python examples/drop_in.py
"""

import torch

import unrolled


def main() -> None:
    theirs = torch.nn.LSTM(40, 128, num_layers=2, bidirectional=True, batch_first=True)
    ours = unrolled.LSTM(40, 128, num_layers=2, bidirectional=True, batch_first=True)
    ours.load_state_dict(theirs.state_dict())

    x = torch.randn(4, 50, 40)
    difference = (ours(x)[0] - theirs(x)[0]).abs().max().item()
    print(f"largest difference {difference:.1e}, served by {ours.engine}")

    lengths = torch.tensor([50, 12, 31, 44])
    output, (h_n, c_n) = ours(x, lengths=lengths)
    print(f"with lengths: output {tuple(output.shape)}, h_n {tuple(h_n.shape)}, c_n {tuple(c_n.shape)}")
    print(f"beyond its length a sequence's output is {output[1, 12:].abs().max().item()}")


if __name__ == "__main__":
    main()
