"""`metrics.csv`: what a run logs, continued where the run is resumed."""

import csv
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loggers.logger import rank_zero_experiment


class MetricsFile(CSVLogger):
    """Lightning's CSV logger, without the deletion of an earlier file."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer."""
        if self._experiment is None:
            self._experiment = _ContinuedWriter(self.log_dir)
        return self._experiment


class _ContinuedWriter(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        self.metrics_keys = _read(Path(self.metrics_file_path))[0]


def forget_metrics_after(file: Path, step: int) -> None:
    """Leave out the rows from a step on, which the resumed run logs again."""
    names, rows = _read(file)
    if not rows:
        return
    partial = file.with_suffix(".part")
    with partial.open("w", newline="") as target:
        writer = csv.DictWriter(target, names)
        writer.writeheader()
        writer.writerows(row for row in rows if int(row["step"]) < step)
    partial.replace(file)


def _read(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not file.is_file():
        return [], []
    with file.open(newline="") as source:
        reader = csv.DictReader(source)
        rows = list(reader)
    return list(reader.fieldnames or []), rows
