"""Reading: what is written one way or another gives the same table, and what is no table gives one clear error."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from advisor.core.errors import InputError
from advisor.profiling.columns import cast, describe
from advisor.profiling.compressed import zstd_bound
from advisor.profiling.printing import printable, without_secrets
from advisor.profiling.profile import profile_table
from advisor.profiling.reading import open_table, read_table

PLAIN = "size,colour,y\n1.5,red,0\n2.5,blue,1\n3.5,red,0\n4.5,blue,1\n"
ROWS = [("1.5", "red", "0"), ("2.5", "blue", "1"), ("3.5", "red", "0"), ("4.5", "blue", "1")]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", " , ").encode(),
        ("\ufeff" + PLAIN).encode(),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-32"),
        ("# made by hand\n" + PLAIN).encode(),
        PLAIN.replace("red", '"red"').encode(),
        PLAIN.replace(",", ";").replace(".", ",").encode(),
        PLAIN.rstrip("\n").encode(),
        gzip.compress(PLAIN.encode(), mtime=0),
    ],
    ids=lambda content: repr(content[:14]),
)
def test_the_same_table_comes_back_however_it_is_written(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    frame = read_table(path)
    assert frame.columns == ["size", "colour", "y"]
    assert frame.rows() == ROWS


def test_a_zstd_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.zst"
    pl.DataFrame(ROWS, schema=["size", "colour", "y"], orient="row").write_csv(path, compression="zstd")
    assert path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert read_table(path).rows() == ROWS


@pytest.mark.parametrize("kind", ["parquet", "feather", "jsonl"])
def test_typed_files_keep_their_types(tmp_path: Path, kind: str) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", " y "], "c": [0.5, None]})
    path = tmp_path / f"table.{kind}"
    {"parquet": frame.write_parquet, "feather": frame.write_ipc, "jsonl": frame.write_ndjson}[kind](path)
    read = read_table(path)
    assert read.schema == {"a": pl.Int64, "b": pl.String, "c": pl.Float64}
    assert read["b"].to_list() == ["x", "y"]


def test_arrays_become_numbered_columns_and_a_target(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, X=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    assert read_table(path).columns == ["x0", "x1", "y"]
    assert profile_table(path).target == "y"


def test_a_pair_of_arrays_and_a_frame_in_memory_are_tables() -> None:
    assert read_table((np.eye(3), ["a", "b", "a"])).columns == ["x0", "x1", "x2", "y"]
    assert read_table(pl.DataFrame({"a": ["", "x"]}))["a"].to_list() == [None, "x"]


def test_a_frame_in_the_manner_of_pandas_is_read_column_by_column() -> None:
    class Column:
        def __init__(self, values: list[object]) -> None:
            self.values = np.array(values, dtype=object)

        def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
            return self.values

    class Places:
        def __getitem__(self, place: tuple[slice, int]) -> Column:
            return [Column([1, 2]), Column(["a", None])][place[1]]

    class Frame:
        columns = ("n", "s")
        dtypes = ("int64", "object")
        iloc = Places()

        def __getitem__(self, name: str) -> Column:
            raise KeyError(name)

    assert read_table(Frame()).rows() == [(1, "a"), (2, None)]


def test_a_text_without_header_gets_made_up_names_and_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "raw.data"
    path.write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n6.0,2.2,virginica\n6.1,2.9,virginica\n")
    table = open_table(path)
    assert table.frame.columns == ["c0", "c1", "c2"]
    assert table.frame.height == 4
    assert "looks like a row" in table.warnings[0]


@pytest.mark.parametrize(
    "header", ["country,2019,2020,2021", "0,1,2,3", "name,first,second,third", '"",a,b,c'], ids=["years", "counted", "words", "row names"]
)
def test_a_header_is_not_mistaken_for_a_row(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(header + "\n" + "".join(f"p{i},{i * 7.5},{i * 3.25},{i * 11}\n" for i in range(1, 9)))
    assert read_table(path).height == 8


def test_columns_in_runs_of_blanks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "housing.data"
    path.write_text(" 0.5   18.0  7\n 1.25   2.0  8\n 3.5    1.0  9\n 0.75   5.5 11\n")
    assert read_table(path).row(1) == ("1.25", "2.0", "8")


def test_row_names_without_a_header_do_not_shift_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text('"a","b"\n"1",10,x\n"2",20,y\n"3",30,x\n')
    assert read_table(path)["b"].to_list() == ["x", "y", "x"]


def test_latin_letters_are_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("town,y\nMalmö,1\nÅrhus,2\n".encode("latin-1"))
    table = open_table(path)
    assert table.frame["town"].to_list() == ["Malmö", "Århus"]
    assert "Latin-1" in table.warnings[0]


def test_long_cells_and_line_breaks_in_quotes_survive(tmp_path: Path) -> None:
    long = "word, " * 40_000
    path = tmp_path / "long.csv"
    path.write_text(f'text,y\n"{long}",1\n"two\nlines",0\n')
    assert read_table(path)["text"].to_list() == [long.strip(), "two\nlines"]


def test_labels_in_single_quotes_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    path.write_text("a,label\n" + "".join(f"{i}.5,'{(-1) ** i}'\n" for i in range(40)))
    profile = profile_table(path)
    assert read_table(path)["label"].unique(maintain_order=True).to_list() == ["'1'", "'-1'"]
    assert (profile.target, profile.task) == ("label", "binary")


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine", "digits", "diabetes", "linnerud"])
def test_shipped_data_equal_what_the_library_loads(name: str) -> None:
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    frame = read_table(f"sklearn:{name}")
    assert np.allclose(frame.drop("target").to_numpy(), loaded.data)
    assert frame.columns[:-1] == list(loaded.feature_names)
    target = loaded.target if loaded.target.ndim == 1 else loaded.target[:, 0]
    classes = [str(c) for c in loaded.target_names] if frame["target"].dtype == pl.String else None
    assert frame["target"].to_list() == ([classes[t] for t in target] if classes else target.tolist())


def test_shipped_data_are_read_without_importing_the_library() -> None:
    code = (
        "import sys; from advisor.profiling.profile import profile_table; profile_table('sklearn:iris');"
        "print('sklearn' in sys.modules, 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]


def test_a_database_gives_the_rows_of_a_query(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table sales (item text, price real, n int)")
        connection.executemany("insert into sales values (?, ?, ?)", [("a", 1.5, 1), ("b", None, 2)])
        connection.commit()
    assert read_table(f"sqlite:///{path}", query="select * from sales").rows() == [("a", 1.5, 1), ("b", None, 2)]
    with pytest.raises(InputError, match="refuses"):
        read_table(f"sqlite:///{path}", query="drop table sales")


def test_no_secret_of_a_url_is_shown() -> None:
    url = "postgresql://me:hunter2@db.example/shop?password=hunter2&token=hunter2"
    assert without_secrets(url) == "postgresql://db.example/shop"
    for source, query in ((url, None), (url, "select 1"), ("https://me:hunter2@host/x.csv?key=hunter2", None)):
        with pytest.raises(InputError) as caught:
            read_table(source, query=query)
        assert "hunter2" not in str(caught.value)
        assert caught.value.cure


def _malformed(folder: Path) -> dict[str, Path]:
    bomb = gzip.compress(b"a,b\n" + b"0,0\n" * 40_000_000, 1)
    contents = {
        "empty.csv": b"",
        "blank.csv": b"\n \n\n",
        "header.csv": b"a,b,c\n",
        "only_blank_rows.csv": b"a,b\n,\n,\n",
        "noise.csv": os.urandom(4000),
        "control.csv": bytes(range(1, 32)) * 100,
        "nul.csv": b"a,b\n1,2\n3,\x004\n",
        "twice.csv": b"a,b,a\n1,2,3\n",
        "ragged.csv": b"a,b,c\n1,2,3\n4,5\n6,7,8,9\n",
        "ragged_quoted.csv": b'a,b,c\n1,"2,x",3\n4,5\n',
        "one_column.csv": b"a\n1\n2\n",
        "many_columns.csv": b",".join(b"c%d" % i for i in range(150_000)) + b"\n1\n",
        "cut_utf16.csv": "a,b\n1,é\n".encode("utf-16")[:-1],
        "deep.jsonl": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "open.jsonl": b'{"a":1}\n{"a":' + b"[" * 60_000,
        "half.jsonl": b'{"a":1,"y":0}\n{"a":2,\n',
        "numbers.jsonl": b"1\n2\n",
        "cut.csv.gz": gzip.compress(PLAIN.encode() * 99)[:-9],
        "bomb.csv.gz": bomb,
        "junk.csv.zst": b"\x28\xb5\x2f\xfd" + os.urandom(60),
        "book.xlsx": b"PK\x03\x04" + os.urandom(99),
        "pickle.csv": b"\x80\x04\x95" + os.urandom(99),
        "noise.parquet": b"PAR1" + os.urandom(200),
        "text.parquet": b"hello",
        "noise.feather": b"ARROW1\x00\x00" + os.urandom(200),
        "noise.npz": b"PK\x03\x04" + os.urandom(200),
        "page.csv": b"<!DOCTYPE html><html></html>",
        "store.db": b"SQLite format 3\x00" + bytes(100),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    np.savez(folder / "objects.npz", X=np.array([[1, "a"], [None, {}]], dtype=object), y=np.ones(2))
    np.savez(folder / "no_y.npz", X=np.ones((3, 2)))
    np.savez(folder / "uneven.npz", X=np.ones((3, 2)), y=np.ones(2))
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    return {p.name: p for p in folder.iterdir()} | {"absent.csv": folder / "absent.csv", "with\x1bescape": folder / "no\x1b[31m.csv"}


def test_whatever_is_no_table_gives_one_error_with_its_cure(tmp_path: Path) -> None:
    for name, path in _malformed(tmp_path).items():
        with pytest.raises(InputError) as caught:
            profile_table(path)
        assert caught.value.what, name
        assert caught.value.cure, name
        assert "\x1b" not in str(caught.value), name


def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "closed.csv"
    path.write_text(PLAIN)
    path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    with pytest.raises(InputError, match="may not be read"):
        read_table(path)


def test_a_ragged_row_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n" + "1,2\n" * 57 + "1,2,3\n" + "1,2\n")
    with pytest.raises(InputError, match=r"line 59 has 3 field\(s\), the header 2"):
        read_table(path)


def test_a_long_number_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{'9' * 5000 if i == 3 else i},{i % 2}\n" for i in range(60)))
    assert profile_table(path, target="y").rows == 60


def test_a_bound_on_the_unpacked_size_is_found_without_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "zeros.csv.zst"
    pl.DataFrame({"a": ["0" * 100] * 20_000}).write_csv(path, compression="zstd")
    packed = path.read_bytes()
    # Blocks hold at most 128 KiB each, so the bound is at most that much above the size.
    assert 101 * 20_000 <= zstd_bound(packed) <= 101 * 20_000 + 3 * 128 * 1024
    assert len(packed) < 10_000


def test_the_fingerprint_is_the_content_s_own(tmp_path: Path) -> None:
    one, two, packed = tmp_path / "one.csv", tmp_path / "two.csv", tmp_path / "one.csv.gz"
    one.write_text(PLAIN)
    two.write_text(PLAIN.replace("4.5", "4.6"))
    packed.write_bytes(gzip.compress(PLAIN.encode()))
    prints = [open_table(p).fingerprint for p in (one, two, packed)]
    assert prints[0] == prints[2] != prints[1]
    code = "from advisor.profiling.reading import open_table; print(open_table('sklearn:iris').fingerprint)"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert again == open_table("sklearn:iris").fingerprint


def test_no_control_byte_of_a_name_is_printed() -> None:
    hostile = ["\x1b[2J", "\x07bell", "a\u202eb", "\x9b31m", "tab\there", "line\nbreak", "\u2028", "\ue000"]
    for name in hostile:
        assert all(c.isprintable() for c in printable(name)), name
    assert printable("Größe ²") == "Größe ²"


def test_new_rows_are_read_by_the_same_kinds(tmp_path: Path) -> None:
    old = pl.DataFrame({"n": ["1", "?", "3"] * 10, "d": ["31/01/2020", "01/02/2020", "13/02/2020"] * 10, "c": ["x", "y", "x"] * 10})
    columns = [describe(n, old[n]) for n in old.columns]
    new = pl.DataFrame({"extra": [1, 2], "c": ["z", "NA"], "d": ["03/04/2021", "soon"], "n": ["oops", "2.5"]})
    typed = cast(new, columns)
    assert typed.columns == ["n", "d", "c"]
    assert typed["n"].to_list() == [None, 2.5]
    assert [d and (d.month, d.day) for d in typed["d"].to_list()] == [(4, 3), None]
    assert typed["c"].to_list() == ["z", None]
    with pytest.raises(InputError, match="c, d"):
        cast(new.drop("c", "d"), [columns[0], columns[2], columns[1]])
