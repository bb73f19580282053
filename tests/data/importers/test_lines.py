"""Lines of whole, cut-off and broken files."""

import gzip
import zipfile
from pathlib import Path

import pytest

from mlthon.data.importers.lines import Line, Problems, head, read_lines, zip_entry_name
from mlthon.data.rows import Problem
from tests.data.made import write_zip

CONTENT = b"".join(b"line %d %d\n" % (number, number * number) for number in range(30_000))
LINES = CONTENT.splitlines()


def read(path: Path) -> tuple[list[Line], list[Problem]]:
    found: list[Problem] = []
    return list(read_lines(path, Problems(path, found.append))), found


def packed(path: Path, kind: str) -> Path:
    if kind == "zip":
        return write_zip(path, "inner.csv", CONTENT)
    path.write_bytes(gzip.compress(CONTENT) if kind == "gzip" else CONTENT)
    return path


@pytest.mark.parametrize("kind", ["gzip", "zip", "plain"])
def test_whole(tmp_path: Path, kind: str) -> None:
    lines, problems = read(packed(tmp_path / "x", kind))
    assert not problems
    assert [line for _, _, line in lines] == LINES
    for number, offset, line in lines[::997]:
        assert LINES[number - 1] == line
        assert CONTENT[offset : offset + len(line)] == line


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_cut_off(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "x", kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    lines, problems = read(path)
    assert 1000 < len(lines) < len(LINES)
    assert [line for _, _, line in lines] == LINES[: len(lines)]
    assert len(problems) == 1
    assert problems[0].file == str(path)
    assert "cut off" in problems[0].what
    assert problems[0].line == len(lines) + 1
    end = lines[-1][1] + len(lines[-1][2]) + 1
    assert problems[0].byte is not None
    assert end <= problems[0].byte <= end + 20
    assert str(problems[0]).startswith(f"{path}, line {len(lines) + 1}, byte {problems[0].byte}: ")


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_broken_in_the_middle(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "x", kind)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(data)
    lines, problems = read(path)
    assert len(problems) == 1
    assert "corrupt" in problems[0].what or "checksum" in problems[0].what
    # Deflate notices the fault some bytes late at most: nearly everything before it is there.
    good = next((n for n, (line, whole) in enumerate(zip(lines, LINES, strict=False)) if line[2] != whole), len(lines))
    assert good > len(LINES) // 4


def test_several_members_and_no_end_of_line(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\r\nd") + b"\0\0")
    assert read(path) == ([(1, 0, b"a"), (2, 2, b"bc"), (3, 6, b"d")], [])


def test_garbage_after_the_gzip_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\n") + b"garbage")
    lines, problems = read(path)
    assert lines == [(1, 0, b"a")]
    assert "corrupt" in problems[0].what


def test_zips_that_are_not_as_expected(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("a_eurusd.csv", "1\n2\n")
        file.writestr("b.csv", "3\n")
    lines, problems = read(path)
    assert [line for _, _, line in lines] == [b"1", b"2"]
    assert "more than one entry" in problems[0].what
    assert zip_entry_name(path) == "a_eurusd.csv"
    path.write_bytes(path.read_bytes()[:20])
    lines, problems = read(path)
    assert not lines
    assert "first header" in problems[0].what
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.csv", "1\n2\n")
    assert "method 14" in read(path)[1][0].what


def test_no_end_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(20 << 20)))
    lines, problems = read(path)
    assert not lines
    assert "not a recording in lines" in problems[0].what


def test_head_says_nothing_of_what_is_broken(tmp_path: Path) -> None:
    path = packed(tmp_path / "x", "gzip")
    path.write_bytes(path.read_bytes()[:5000])
    assert head(path, 3) == LINES[:3]


def test_many_problems_are_counted() -> None:
    found: list[Problem] = []
    problems = Problems("f", found.append)
    for number in range(50):
        problems.add("bad", number + 1)
    problems.close()
    assert len(found) == 21
    assert found[-1].what == "30 more problems of this file"
