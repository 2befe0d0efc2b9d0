"""Files to documents, documents to tokens, tokens to batches; and the catalogue of standard data sets.

One reader per format (`read_documents` chooses), three kinds of tokeniser behind one class, a corpus encoded once into
a memory-mapped file, and the windows in which truncated BPTT reads it. Everything streams: no corpus has to fit in
memory.
"""

from .bpe import BPETokenizer
from .catalogue import cache_folder, find, get
from .documents import Piece, read_documents
from .files import Source, find_sources
from .published import CATALOGUE, DataSet, RemoteFile
from .splits import Split, split_pieces
from .tokenfile import TokenFile, encode_corpus
from .tokenizers import ByteTokenizer, CharTokenizer, StreamDecoder, Tokenizer, fit_tokenizer, load_tokenizer
from .windows import IGNORED, Batch, Windows, evaluation_windows

__all__ = [
    "CATALOGUE",
    "IGNORED",
    "BPETokenizer",
    "Batch",
    "ByteTokenizer",
    "CharTokenizer",
    "DataSet",
    "Piece",
    "RemoteFile",
    "Source",
    "Split",
    "StreamDecoder",
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
    "load_tokenizer",
    "read_documents",
    "split_pieces",
]
