"""Vectors in files of other kinds: the line of Python that makes Parquet of one.

Free of torch and Ray, which what imports it is too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from pipelines.files.location import Location

IMPORTS = "import pyarrow as pa, pyarrow.parquet as pq"
FLOATS = 'rows = np.asarray(rows, dtype="float32"); rows = rows.reshape(len(rows), -1)'
WRITES = 'pq.write_table(pa.table({"embedding": list(rows)}), "NAME.parquet", row_group_size=8192)'
NUMBERS = 'rows = table.drop(columns="id", errors="ignore").dropna(axis="columns", how="all").select_dtypes("number")'
ROWS_OF = {  # how Python reads rows from a file of another kind
    ".npy": 'rows = np.load("FILE")',
    ".npz": 'rows = np.load("FILE")["KEY"]',
    ".pt": 'import torch; rows = torch.load("FILE", map_location="cpu").detach().float()',
    ".safetensors": 'from safetensors.torch import load_file; rows = load_file("FILE")["KEY"].float()',
    ".csv": f'import pandas as pd; table = pd.read_csv("FILE"OPTIONS); {NUMBERS}',
    ".tsv": f'import pandas as pd; table = pd.read_csv("FILE", sep="\\t"OPTIONS); {NUMBERS}',
}
ROWS_OF[".pth"] = ROWS_OF[".pt"]
READ = 'pa.ipc.open_file if open(file, "rb").read(6) == b"ARROW1" else pa.ipc.open_stream'
ONE_TABLE = f"read = lambda file: ({READ})(file).read_all(); table = "
TABLE_OF = {  # how it reads a table that has the column already
    ".arrow": f'import glob; {ONE_TABLE}pa.concat_tables(map(read, sorted(glob.glob("ALL"))))',
    ".feather": f'{ONE_TABLE}read("FILE")',
    ".jsonl": 'import pandas as pd; table = pa.Table.from_pandas(pd.read_json("FILE", lines=True))',
    ".json": 'import pandas as pd; table = pa.Table.from_pandas(pd.read_json("FILE"))',
}
COLUMNS = 'import pandas as pd; rows = pd.read_parquet("FILE").select_dtypes("floating")'  # of Parquet with a column a number
FIRST_BYTES = 1 << 16  # of a table of text, in which its first line ends
DESCRIPTIONS = (".json", ".txt", ".md", ".yaml")  # of files beside the data, often


def of_data_first(paths: Sequence[str]) -> list[str]:
    """The paths, those last whose files more often describe data than hold them."""
    return sorted(paths, key=lambda path: PurePosixPath(path).suffix.lower() in DESCRIPTIONS)


def is_of_another_kind(name: str) -> bool:
    """Whether a file's name says that it holds something, and no Parquet."""
    return PurePosixPath(name).suffix.lower() in {*ROWS_OF, *TABLE_OF, *DESCRIPTIONS}


def conversion(file: Location) -> str | None:
    """How to make Parquet of a file whose suffix tells what it is."""
    path = PurePosixPath(str(file))
    suffix = path.suffix.lower()
    if suffix in ROWS_OF:
        how = f"{IMPORTS}, numpy as np; {ROWS_OF[suffix]}; {FLOATS}; {WRITES}"
    elif suffix in TABLE_OF:
        how = f'{IMPORTS}; {TABLE_OF[suffix]}; pq.write_table(table, "NAME.parquet", row_group_size=8192)'
    else:
        return None
    how = how.replace("OPTIONS", _options(file, suffix)) if "OPTIONS" in how else how
    # One of a set of Arrow files, as Hugging Face saves them, stands for all of its folder.
    return _command(how, {"FILE": str(file), "ALL": f"{path.parent}/*{suffix}", "NAME": path.stem})


def of_columns(file: str) -> str:
    """How to make Parquet with a column of vectors out of a Parquet file that has a column for each of their numbers."""
    how = f"{IMPORTS}, numpy as np; {COLUMNS}; {FLOATS}; {WRITES}"
    return _command(how, {"FILE": file, "NAME": f"{PurePosixPath(file).stem}-vectors"})


def _command(how: str, said: Mapping[str, str]) -> str:
    """The line of Python with the words that are said."""
    said = {word: value.replace("\\", "\\\\").replace('"', '\\"') for word, value in said.items()}
    return f"make one: python -c {shlex.quote(re.sub('|'.join(said), lambda word: said[word[0]], how))}"


def _options(file: Location, suffix: str) -> str:
    """Further arguments for pandas, by the first line of a table of text: one of numbers alone is no header."""
    try:
        line = file.read_part(0, FIRST_BYTES).split(b"\n", 1)[0].decode(errors="replace").strip()
    except OSError:  # which the line itself will say
        return ""
    separator = "\t" if suffix == ".tsv" else ";" if ";" in line else ","
    commas = separator == ";" and "," in line
    words = (line.replace(",", ".") if commas else line).rstrip(separator).split(separator)
    try:
        header = not [float(word) for word in words]
    except ValueError:
        header = True
    return (', sep=";"' if separator == ";" else "") + (', decimal=","' if commas else "") + ("" if header else ", header=None")
