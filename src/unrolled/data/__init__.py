"""Files to documents, documents to tokens, tokens to batches; and the catalogue of standard data sets.

One reader per format (`read_documents` chooses), three kinds of tokeniser behind one class, a corpus encoded once into
a memory-mapped file, and the windows in which truncated BPTT reads it. Everything streams: no corpus has to fit in
memory.
"""

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.examples import (
    Arrays,
    Example,
    ExampleBatch,
    ExampleBatches,
    ExampleStore,
    lengths_of,
    padded,
    sorted_batches,
    split_by_key,
)
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Finding, Findings
from unrolled.data.core.folders import find_sources
from unrolled.data.core.rows import TableRow
from unrolled.data.core.splits import Split, split_pieces
from unrolled.data.core.tables import Table, open_tables, read_table
from unrolled.data.sound.files import Sound, read_sound
from unrolled.data.standard.fetch import cache_folder, find, get
from unrolled.data.standard.sets import CATALOGUE, DataSet, RemoteFile
from unrolled.data.text.bpe import BPETokenizer
from unrolled.data.text.characters import ByteTokenizer, CharTokenizer
from unrolled.data.text.documents import Piece, read_documents
from unrolled.data.text.tokenfile import TokenFile, encode_corpus
from unrolled.data.text.tokenizer import StreamDecoder, Tokenizer
from unrolled.data.text.tokenizers import fit_tokenizer, load_tokenizer
from unrolled.data.text.windows import IGNORED, TokenBatch, Windows, evaluation_windows

__all__ = [
    "CATALOGUE",
    "IGNORED",
    "Arrays",
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "DataSet",
    "Example",
    "ExampleBatch",
    "ExampleBatches",
    "ExampleStore",
    "Finding",
    "Findings",
    "Piece",
    "RemoteFile",
    "Sound",
    "Source",
    "Split",
    "StreamDecoder",
    "Table",
    "TableOptions",
    "TableRow",
    "TokenBatch",
    "TokenFile",
    "Tokenizer",
    "Windows",
    "cache_folder",
    "encode_corpus",
    "evaluation_windows",
    "find",
    "find_sources",
    "fit_tokenizer",
    "get",
    "lengths_of",
    "load_tokenizer",
    "open_tables",
    "padded",
    "read_documents",
    "read_sound",
    "read_table",
    "sorted_batches",
    "split_by_key",
    "split_pieces",
]
