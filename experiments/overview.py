"""One page of all experiments: experiments/README.md, from results.json.

python experiments/overview.py                                                  # writes the page
python experiments/overview.py ion_pairs without=outputs/ion_pairs/without with=outputs/ion_pairs/with

The second form first takes the errors of an experiment from the summaries of its runs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

TITLE = """# Experiments

What is long-range about each system, and what the layer does for it: the same short-range model without and with it.
Each folder has the commands, the settings, and what to know. F: force RMSE in meV/Å; E: energy RMSE in meV/atom.
Minutes are those of one training on one core.

| system | what is long-range | error | published, without | with | without | with | minutes | |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
"""

END = """
`python experiments/overview.py` writes this page from `results.json`, which it fills from the summaries of runs.
What models do in simulations is in [electrolyte_md](electrolyte_md/README.md), [water_md](water_md/README.md) and
[slab](slab/README.md), and one liquid in all engines in [engines](engines/README.md). Speed and memory are in
[benchmarks](benchmarks/README.md), and what the defaults reach on data of any kind in [own_data](own_data/README.md).
A committee that chooses its own structures is in [active_learning](active_learning/README.md).
"""


def main() -> None:
    """Take figures from runs where some are named, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", help="name of a row of results.json")
    parser.add_argument("runs", nargs="*", metavar="without=FOLDER with=FOLDER")
    options = parser.parse_args()
    rows = json.loads((HERE / "results.json").read_text())
    if options.row:
        if options.row not in rows:
            parser.error(f"results.json has no row {options.row}; there are {', '.join(rows)}")
        for side, folder in (run.split("=", 1) for run in options.runs):
            rows[options.row][side] = error_of(Path(folder), rows[options.row])
        (HERE / "results.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (HERE / "README.md").write_text(page_of(rows))


def page_of(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown of results.json."""
    return TITLE + "".join(line(row) for row in rows.values()) + END


def error_of(folder: Path, row: dict[str, Any]) -> float:
    """The error of a row in the summary of a run."""
    summary = json.loads((folder / "summary.json").read_text())
    return float(f"{summary[row['split']][row['key']]:.3g}")


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    folder = f"[{row['folder']}]({row['folder']}/README.md)"
    numbers = [row.get(name, "") for name in ("published_without", "published_with", "without", "with", "minutes")]
    cells = [
        row["system"],
        row["long_range"],
        row["error"],
        *numbers,
        f"{folder}, [figure]({row['folder']}/{row['figure']})",
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


if __name__ == "__main__":
    main()
