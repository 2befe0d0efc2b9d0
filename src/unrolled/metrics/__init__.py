"""The standard metrics of each use, a file for each family.

They take plain lists and arrays, gold beside predicted, and know no task, network or file. Where the field has a
reference implementation (sacrebleu, seqeval, jiwer), either it does the arithmetic, imported in that one file, or the
tests compare ours with it. Nothing is averaged over batches: a metric is computed once, over everything.
"""
