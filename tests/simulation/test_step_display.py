"""What a simulation shows while it runs."""

from sognet.simulation import step_display
from sognet.simulation.step_display import StepDisplay


def test_a_line_says_where_it_is_how_fast_and_how_long(capsys, monkeypatch):
    monkeypatch.setattr(step_display, "on_terminal", lambda: False)
    display = StepDisplay(done=100, steps=1100, femtoseconds=2.0)
    display.show(101, lambda: "300 K")
    assert capsys.readouterr().out == ""
    display.clock.started -= 50.0
    display.clock.said -= 50.0
    display.show(200, lambda: "301 K, drift 0.1 meV/atom/ps")
    said = capsys.readouterr().out
    assert said.startswith("step 200 of 1100: 301 K, drift 0.1 meV/atom/ps, 0.34")  # 2 steps/s of 2 fs
    assert "ns/day, about 8 min left" in said


def test_a_bar_has_the_same_numbers(monkeypatch):
    monkeypatch.setattr(step_display, "on_terminal", lambda: True)
    with StepDisplay(done=0, steps=10, femtoseconds=None) as display:
        display.show(3, lambda: "-1 eV")
        task = display.bar.tasks[0]
        assert (task.completed, task.total) == (3, 10)
        assert task.description.startswith("-1 eV, ")
        assert task.description.endswith(" steps/s")
