"""The contract of a use: what is read, what is answered, and the plan that joins the two.

An `Input` is what a use reads, fitted on data: it turns what a caller has into arrays, batches and the vectors of an
input layer, and names its steps. An `Output` is what a use answers, fitted likewise: targets, output and loss layer,
decoder, result, metrics and baseline. A `Use` names one of each. Training, the command, the server and inspection walk
over these three and know no use by name. What is answered to one example after the other is an `Output`; an `Answer` is
what it has in common with one that is learned from a text without end.
"""

from unrolled.tasks.core.contract.input import AnyInput, Input
from unrolled.tasks.core.contract.output import Answer, AnyAnswer, AnyOutput, Output
from unrolled.tasks.core.contract.use import AnyUse, I, O, Use

__all__ = ["Answer", "AnyAnswer", "AnyInput", "AnyOutput", "AnyUse", "I", "Input", "O", "Output", "Use"]
