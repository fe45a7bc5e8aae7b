"""Rows of a data file, whatever holds them: JSONL, JSON, CSV, text, gzip of these, Parquet, a `datasets` folder."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from heedful.data.csv_rows import read_csv
from heedful.data.faults import Fault, RowFault
from heedful.data.json_array import read_array
from heedful.data.json_rows import BOM, Located, check_texts, decode_utf8, read_jsonl
from heedful.errors import InputError

SEPARATOR = "<|endoftext|>"
ByteReader = Callable[[IO[bytes], str], Iterator[Located | Fault]]


class Container(StrEnum):
    """What holds the rows."""

    JSONL = "JSONL"
    ARRAY = "a JSON array"
    CSV = "CSV"
    TSV = "TSV"
    PARQUET = "Parquet"
    DATASETS = "a datasets folder"
    TEXT = "plain text"


def container_of(path: Path) -> Container:
    """Told from the name, and for .json from the first character."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _folder(path)
    match "".join(Path(path.name.removesuffix(".gz")).suffixes[-1:]).lower():
        case ".jsonl" | ".ndjson":
            return Container.JSONL
        case ".json":
            return Container.ARRAY if _begins_array(path) else Container.JSONL
        case ".csv":
            return Container.CSV
        case ".tsv":
            return Container.TSV
        case ".parquet":
            return Container.PARQUET
        case ".txt" | ".text" | ".md":
            return Container.TEXT
    raise InputError(
        f"{path}: heedful reads .jsonl, .json, .csv, .tsv, .parquet and .txt (each but Parquet also as .gz) "
        "and folders that datasets' save_to_disk wrote; convert the file to one of these"
    )


def _folder(path: Path) -> Container:
    if (path / "dataset_dict.json").exists():
        splits = sorted(child.name for child in path.iterdir() if child.is_dir())
        raise InputError(f"{path}: holds several splits; name one of {', '.join(str(path / name) for name in splits)}")
    if not (path / "state.json").exists():
        raise InputError(f"{path}: is a folder but none that datasets' save_to_disk wrote; name a file in it")
    return Container.DATASETS


def _stream(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _begins_array(path: Path) -> bool:
    try:
        with _stream(path) as stream:
            return stream.read(4096).removeprefix(BOM).lstrip().startswith(b"[")
    except (OSError, EOFError, zlib.error):
        return False  # the reader will say what is wrong with the gzip stream


def read_rows(path: Path) -> Iterator[Located | Fault]:
    """Every row in order, with a fault in the place of each broken one. Memory is bounded but for arrays and text."""
    match container_of(path):
        case Container.JSONL:
            yield from _guard_gzip(path, read_jsonl)
        case Container.ARRAY:
            yield from _guard_gzip(path, lambda stream, source: read_array(stream.read(), source))
        case Container.CSV:
            yield from _guard_gzip(path, read_csv)
        case Container.TSV:
            yield from _guard_gzip(path, lambda stream, source: read_csv(stream, source, "\t"))
        case Container.TEXT:
            yield from _guard_gzip(path, lambda stream, source: _read_text(stream.read(), source))
        case Container.PARQUET:
            yield from _read_parquet(path)
        case Container.DATASETS:
            yield from _read_datasets(path)


def count_rows(path: Path) -> int:
    """How many rows there are, sound or not; of a file that is broken, how many before the break."""
    count = 0
    match container_of(path):
        case Container.JSONL:
            with suppress(OSError, EOFError, zlib.error), _stream(path) as stream:
                for count, _ in enumerate(stream, start=1):  # noqa: B007
                    pass
        case Container.PARQUET:
            import pyarrow as pa
            import pyarrow.parquet as pq

            with suppress(pa.ArrowException, OSError):
                count = int(pq.read_metadata(path).num_rows)
        case _:
            count = sum(1 for _ in read_rows(path))
    return count


def _guard_gzip(path: Path, reader: ByteReader) -> Iterator[Located | Fault]:
    """What the reader yields; a broken gzip stream is a fault like any other."""
    found = expected = mend = ""
    with _stream(path) as stream:
        try:
            yield from reader(stream, str(path))
        except gzip.BadGzipFile:
            found, expected, mend = "no gzip data", "what the ending .gz promises", "take .gz off the name"
        except (EOFError, zlib.error):
            found, expected, mend = "a gzip stream that breaks off", "a whole one", "copy the file again"
    if found:
        yield Fault(str(path), "", found, expected, mend)


def pages_of(text: str) -> tuple[list[tuple[int, str]], str]:
    """Documents of a text file as (first line's number, text), and what separates them.

    Lines that hold only `<|endoftext|>` separate documents; in a file without them blank lines do.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines() would also cut at U+2028
    by_mark = any(line.strip() == SEPARATOR for line in lines)
    pages: list[tuple[int, str]] = []
    held: list[str] = []
    for number, line in enumerate([*lines, SEPARATOR if by_mark else ""], start=1):
        if line.strip() == (SEPARATOR if by_mark else ""):
            body = "\n".join(held)
            if body.strip():
                lead = len(body) - len(body.lstrip("\n"))
                pages.append((number - len(held) + lead, body.strip("\n")))
            held = []
        else:
            held.append(line)
    return pages, f"{SEPARATOR} lines" if by_mark else "blank lines"


def page_separator(path: Path) -> str:
    """What separates the documents of a text file, in words."""
    with _stream(path) as stream:
        return pages_of(stream.read().decode("utf-8", errors="replace"))[1]


def _read_text(raw: bytes, source: str) -> Iterator[Located | Fault]:
    try:
        text = decode_utf8(raw.removeprefix(BOM), whole=True)
    except RowFault as fault:
        yield fault.at(source)
        return
    for line, page in pages_of(text)[0]:
        yield from _checked(f"{source}:{line}", {"text": page})


def _checked(where: str, row: dict[str, object]) -> Iterator[Located | Fault]:
    try:
        check_texts(row)
        yield Located(where, row)
    except RowFault as fault:
        yield fault.at(where)


def _read_parquet(path: Path) -> Iterator[Located | Fault]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield from _checked(f"{path}: row {number}", row)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        yield Fault(str(path), "", f"a broken file ({reason})", "Parquet", "write or copy the file again")


def _read_datasets(path: Path) -> Iterator[Located | Fault]:
    from datasets import load_from_disk

    try:
        data = load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        yield Fault(str(path), "", f"a broken folder ({reason})", "what save_to_disk writes", "save it again")
        return
    for number, row in enumerate(data, start=1):
        yield from _checked(f"{path}: row {number}", dict(row))
