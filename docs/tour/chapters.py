"""What the tour says and does, chapter by chapter."""

from __future__ import annotations

from typing import NamedTuple


class Run(NamedTuple):
    """A command, and what of it is shown.

    Attributes:
        command: as it is typed, in the folder of the tour's data.
        small: what of it is replaced when the tour is only tested, e.g. minutes by steps.
        figures: pictures that it leaves there, without suffix, with a caption each.
        lines: how many of its last lines are shown; 0 shows none.
    """

    command: str
    small: tuple[str, str] = ("", "")
    figures: tuple[tuple[str, str], ...] = ()
    lines: int = 6


class Chapter(NamedTuple):
    """A heading, and paragraphs and commands in turn."""

    title: str
    parts: tuple[str | Run, ...]


CHAPTERS = (
    Chapter(
        "What a recurrent neural network is",
        (
            "A feed-forward network sees each input alone. A recurrent one reads a sequence step by step and carries a "
            "*hidden state* from step to step, so that what it says at step t depends on all it has read: "
            "h_t = f(U x_t + W h_{t−1} + b), o_t = V h_t + c. U, V, W, b and c are the same at every step. In this package "
            "they are called `weight_ih`, the output layer's weight, `weight_hh` and the biases.\n\nHere is one that learns to "
            "write from the language reference that every Python carries, for a third of a minute:",
            Run(
                "unrolled train generate reference.txt --out writer --minutes 0.3 --num-layers 1 --hidden-size 128 --seed 1",
                ("--minutes 0.3", "--steps 30"),
                lines=3,
            ),
            Run('unrolled predict writer --prompt "The import statement " --temperature 0.6 --max-tokens 120', lines=6),
        ),
    ),
    Chapter(
        "Unfolding",
        (
            "The loop can be *unfolded*: drawn as a chain with a copy of the network at every step. The copies share their "
            "weights. This is the writer on a real sentence, with what really goes through it:",
            Run(
                'unrolled inspect writer "The import statement is used." --out writer.html --pictures',
                figures=(
                    (
                        "writer-unfolding",
                        "Left the loop with U, V and W; right the network unfolded. Black: ‖h‖ on the "
                        "way forwards. Orange: the error ‖∂L/∂h‖ on the way back.",
                    ),
                    ("writer-gates-hidden-l0", "The same steps, every unit: gates and states of the LSTM."),
                ),
                lines=2,
            ),
            "`writer.html` is the whole report: in it one steps through time with the arrow keys, forwards through the "
            "activations and backwards through BPTT.",
        ),
    ),
    Chapter(
        "Layers, and activation functions",
        (
            "The *input layer* turns characters into vectors, the *hidden layers* are recurrent, the *output layer* gives a "
            "score to every possible next character, and the *loss layer* compares them with the one that came. Between "
            "them stand sigmoid, tanh and ReLU. Where a unit works on its activation decides how much gradient passes: at "
            "the flat ends hardly any. The operating points of the writer's units:",
            Run(
                "unrolled doctor",
                lines=0,
                figures=(
                    (
                        "writer-activations-hidden-l0",
                        "Activation functions, their derivatives, and where the units of this model work.",
                    ),
                ),
            ),
        ),
    ),
    Chapter(
        "Training, in six steps",
        (
            "Initialise; forward; loss; backpropagation through time; update with SGD or Adam; repeat until a criterion is "
            "met. They are the six lines of [`training/loop.py`](../src/unrolled/training/loop.py). A run writes its course "
            "to `metrics.jsonl` and what it produces on the way to `samples.md`; two runs compared, the second by plain SGD:",
            Run(
                "unrolled train generate reference.txt --out by-sgd --optimiser sgd --lr 1 --momentum 0.9 --weight-decay 0 "
                "--minutes 0.3 --num-layers 1 --hidden-size 128 --seed 1",
                ("--minutes 0.3", "--steps 30"),
                lines=0,
            ),
            Run(
                "unrolled compare writer by-sgd --out optimisers.png",
                figures=(("optimisers", "Adam and SGD with momentum on the same data."),),
                lines=8,
            ),
        ),
    ),
    Chapter(
        "The five types",
        (
            "**One-to-one**: fixed in, fixed out. An image, a class:",
            Run("unrolled train recognize digits.npz --out digits --epochs 6", ("--epochs 6", "--steps 4"), lines=1),
            Run("unrolled predict digits digit.png", lines=1),
            "**One-to-many**: an image, a sentence about it:",
            Run(
                "unrolled train caption scenes.txt --images scenes --out captions --epochs 8",
                ("--epochs 8", "--steps 4"),
                lines=1,
            ),
            Run("unrolled predict captions scenes/3.png", lines=1),
            "**Many-to-one**: a text, what its writer feels:",
            Run("unrolled train classify reviews.tsv --out feeling --epochs 12", ("--epochs 12", "--steps 4"), lines=1),
            Run('unrolled predict feeling "this story is not dull at all ."', lines=1),
            "**Many-to-many**: a sentence in, another one out, of another length and order:",
            Run(
                "unrolled train translate pairs.de pairs.en --out translator --epochs 16",
                ("--epochs 16", "--steps 4"),
                lines=1,
            ),
            Run('unrolled predict translator "ich sehe , dass der große rote Hund schläft ."', lines=1),
            "**Synced many-to-many**: a label for every step:",
            Run(
                "unrolled train label hand-train --dev hand-dev --label-column phase --out phases --epochs 40",
                ("--epochs 40", "--steps 4"),
                lines=1,
            ),
            Run("unrolled predict phases hand-dev/50.csv", lines=2),
        ),
    ),
    Chapter(
        "What they are used for",
        (
            "Writing completion, as in Gmail: the likeliest end of what is being typed.",
            Run('unrolled predict writer "The import stat" --threshold -3', lines=1),
            "Names in text:",
            Run(
                "unrolled train tag names-train.conll --dev names-dev.conll --out names --epochs 8",
                ("--epochs 8", "--steps 4"),
                lines=1,
            ),
            Run('unrolled predict names "Greta and Hugo flew from Oslo to New York ."', lines=1),
            "Speech, here sung notes:",
            Run(
                "unrolled train transcribe sung/all.jsonl --out singer --epochs 40",
                ("--epochs 40", "--steps 4"),
                lines=1,
            ),
            Run("unrolled predict singer sung/5.wav", lines=1),
            "Time series:",
            Run(
                "unrolled train forecast temperatures.csv --out weather --horizon 14 --epochs 8",
                ("--epochs 8", "--steps 4"),
                lines=1,
            ),
            Run("unrolled predict weather temperatures.csv", lines=4),
        ),
    ),
    Chapter(
        "The two limits",
        (
            "On its way back through time the error is multiplied, at every step, by the same matrix (and the slopes of the "
            "activations). Where that shrinks it, the error *vanishes*, and nothing can be learned about what lies far back; "
            "where it grows, it *explodes*, and a single step throws the weights away.",
            Run(
                "unrolled lab gradients --out lab",
                ("--out lab", "--out lab --steps 5"),
                figures=(
                    (
                        "lab/gradients",
                        "Plain networks whose recurrent matrix lets the error shrink, stay or grow; "
                        "and what clipping and gates save in training.",
                    ),
                ),
                lines=9,
            ),
            "Who remembers how far? The adding problem asks for the sum of two marked numbers far apart:",
            Run(
                'unrolled lab memory --length 60 --minutes 2 --out lab --only "RNN tanh" --only "LSTM, forget bias 1" --only GRU',
                ("--minutes 2", "--minutes 0.05"),
                figures=(
                    (
                        "lab/memory-adding-60",
                        "The plain network stays where a guess would be; the gated ones learn to keep "
                        "the error alive over all steps.",
                    ),
                ),
                lines=4,
            ),
            "Every training run looks at this from time to time, writes it to `metrics.jsonl`, and says so once when "
            "gradients vanish or explode. `unrolled inspect` gives the verdict for each layer with its evidence, and "
            "`--try` tries the remedies:",
            Run("unrolled inspect writer --try --steps 40", ("--steps 40", "--steps 10"), lines=7),
        ),
    ),
    Chapter(
        "The variants",
        (
            "The *LSTM* keeps a cell state behind an input, a forget and an output gate; the *GRU* gets by with two gates; a "
            "*bidirectional* network reads from both ends. The same time with each cell:",
            Run(
                "unrolled train generate reference.txt --out gru --cell gru --minutes 0.3 --num-layers 1 --hidden-size 128 --seed 1",
                ("--minutes 0.3", "--steps 30"),
                lines=0,
            ),
            Run(
                "unrolled train generate reference.txt --out rnn --cell rnn --minutes 0.3 --num-layers 1 --hidden-size 128 --seed 1",
                ("--minutes 0.3", "--steps 30"),
                lines=0,
            ),
            Run(
                "unrolled compare writer gru rnn --out variants.png",
                figures=(("variants", "LSTM, GRU and a plain network on the same text for the same time."),),
                lines=9,
            ),
            "A label for a word often depends on the words after it. A tagger that reads in one direction, beside the one "
            "above that reads in both:",
            Run(
                "unrolled train tag names-train.conll --dev names-dev.conll --out one-way --no-bidirectional --epochs 8",
                ("--epochs 8", "--steps 4"),
                lines=0,
            ),
            Run("unrolled compare names one-way", lines=8),
        ),
    ),
)
