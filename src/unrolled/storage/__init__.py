"""Files written whole, read within bounds and checked, and folders that one process at a time writes into.

Like `errors`, this may be imported from every room.
"""

from unrolled.storage.locking import LOCK, is_vacant, locked
from unrolled.storage.parts import (
    MANIFEST,
    RESTORE,
    check_part,
    digest,
    has_part,
    part_path,
    read_part,
    replaced_parts,
    unlist,
)
from unrolled.storage.reading import available_memory, opened, read_whole
from unrolled.storage.writing import (
    make_folder,
    plain_json,
    storage_error,
    sync_folder,
    write_durably,
    write_json,
    write_text,
    write_whole,
    written_aside,
)

__all__ = [
    "LOCK",
    "MANIFEST",
    "RESTORE",
    "available_memory",
    "check_part",
    "digest",
    "has_part",
    "is_vacant",
    "locked",
    "make_folder",
    "opened",
    "part_path",
    "plain_json",
    "read_part",
    "read_whole",
    "replaced_parts",
    "storage_error",
    "sync_folder",
    "unlist",
    "write_durably",
    "write_json",
    "write_text",
    "write_whole",
    "written_aside",
]
