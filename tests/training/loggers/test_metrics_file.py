"""What a resumed run does with the metrics that it finds."""

import csv

from sognet.training.loggers.metrics_file import MetricsFile, forget_metrics_after


def rows(file):
    with file.open() as source:
        return list(csv.DictReader(source))


def test_a_resumed_run_continues_the_file_without_what_it_repeats(tmp_path):
    file = tmp_path / "metrics.csv"
    first = MetricsFile(tmp_path, name="", version="")
    for step in (3, 7, 11):
        first.log_metrics({"train/loss": 1.0 / step}, step=step)
    first.save()
    forget_metrics_after(file, 8)  # the checkpoint has made 8 steps: 0 to 7
    assert [r["step"] for r in rows(file)] == ["3", "7"]
    again = MetricsFile(tmp_path, name="", version="")
    again.log_metrics({"train/loss": 0.5, "val/loss": 2.0}, step=11)
    again.save()
    assert [(r["step"], r["val/loss"]) for r in rows(file)] == [("3", ""), ("7", ""), ("11", "2.0")]
    assert [float(r["train/loss"]) for r in rows(file)] == [1.0 / 3, 1.0 / 7, 0.5]


def test_a_run_without_metrics_starts_anew(tmp_path):
    forget_metrics_after(tmp_path / "metrics.csv", 8)
    assert not list(tmp_path.iterdir())
