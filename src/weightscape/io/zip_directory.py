"""The directory of a zip archive whose entries are stored as they are, read by ranges."""

import struct
from dataclasses import dataclass

from weightscape.errors import BadCheckpoint
from weightscape.io.source import Source

DIRECTORY_LIMIT = 64 << 20
"""Bytes of the archive's directory, about 100 an entry."""

_END = struct.Struct("<4s4H2LH")
_LOCATOR64 = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the archive. start, end: where its bytes lie; `method` 0 means as they are."""

    name: str
    method: int
    start: int
    end: int


def read_directory(source: Source) -> dict[str, Entry]:
    """Read the entries of a zip archive, by name.

    Raises BadCheckpoint for a truncated or contradictory archive.
    """
    size = source.size()
    start, length, count = _locate(source, size)
    if length > DIRECTORY_LIMIT or start + length > size or count * _ENTRY.size > length:
        raise BadCheckpoint(
            f"its zip directory claims {count:,} entries in {length:,} bytes",
            file=source.name,
            span=(start, start + length),
        )
    data, position = source.read(start, length), 0
    entries: dict[str, Entry] = {}
    for _ in range(count):
        entry, position = _entry(source, data, position, start)
        if entry.name in entries:
            raise BadCheckpoint(f"zip entry {entry.name!r} stands there twice", file=source.name)
        entries[entry.name] = entry
    _refuse_overlaps(source, entries)
    return entries


def _locate(source: Source, size: int) -> tuple[int, int, int]:
    """Find the directory: its start, its length and the number of its entries."""
    tail_size = min(size, _END.size + 0xFFFF)
    tail = source.read(size - tail_size, tail_size)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise BadCheckpoint(
            "is a zip archive without an end; it is truncated, fetch or save it again",
            file=source.name,
            span=(size - tail_size, size),
        )
    _, _, _, _, count, length, start, _ = _END.unpack_from(tail, found)
    if count == 0xFFFF or length == 0xFFFFFFFF or start == 0xFFFFFFFF:
        at = size - tail_size + found - _LOCATOR64.size
        mark, _, end64, _ = _LOCATOR64.unpack(source.read(max(at, 0), _LOCATOR64.size))
        if mark == b"PK\x06\x07" and end64 + _END64.size <= size:
            record = _END64.unpack(source.read(end64, _END64.size))
            if record[0] == b"PK\x06\x06":
                return record[9], record[8], record[7]
        raise BadCheckpoint("its zip64 directory is damaged", file=source.name)
    return start, length, count


def _entry(source: Source, data: bytes, position: int, limit: int) -> tuple[Entry, int]:
    def bad(problem: str) -> BadCheckpoint:
        return BadCheckpoint(f"its zip directory is damaged: {problem}", file=source.name)

    if position + _ENTRY.size > len(data):
        raise bad("it ends inside an entry")
    fields = _ENTRY.unpack_from(data, position)
    mark, flags, method = fields[0], fields[3], fields[4]
    packed, plain, name_size, extra_size, comment_size = fields[8:13]
    offset = fields[16]
    after = position + _ENTRY.size
    raw_name = data[after : after + name_size]
    extra = data[after + name_size : after + name_size + extra_size]
    after += name_size + extra_size + comment_size
    if mark != b"PK\x01\x02" or after > len(data):
        raise bad("an entry does not look like one")
    if flags & 1:
        raise bad("an entry is encrypted")
    packed, plain, offset = _wide(extra, packed, plain, offset)
    name = raw_name.decode("utf-8", errors="replace")
    if offset + _LOCAL.size > limit:
        raise bad(f"entry {name!r:.200} lies beyond the archive's files")
    local = _LOCAL.unpack(source.read(offset, _LOCAL.size))
    start = offset + _LOCAL.size + local[9] + local[10]
    if local[0] != b"PK\x03\x04" or start + packed > limit:
        raise bad(f"entry {name!r:.200} (bytes {start}-{start + packed}) is not where it says")
    if method == 0 and packed != plain:
        raise bad(f"entry {name!r:.200} has two sizes, {packed:,} and {plain:,}")
    return Entry(name, method, start, start + packed), after


def _wide(extra: bytes, packed: int, plain: int, offset: int) -> tuple[int, int, int]:
    """Take sizes and offset from the zip64 field where the narrow ones are full."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            body = extra[position + 4 : position + 4 + size]
            wide = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            plain = next(wide, plain) if plain == 0xFFFFFFFF else plain
            packed = next(wide, packed) if packed == 0xFFFFFFFF else packed
            offset = next(wide, offset) if offset == 0xFFFFFFFF else offset
        position += 4 + size
    return packed, plain, offset


def _refuse_overlaps(source: Source, entries: dict[str, Entry]) -> None:
    reached = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.end)):
        if entry.start < reached:
            raise BadCheckpoint(
                f"zip entry {entry.name!r:.200} overlaps another",
                file=source.name,
                span=(entry.start, entry.end),
            )
        reached = entry.end
