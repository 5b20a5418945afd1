"""A simulation in a folder: steps, trajectory, thermo.csv, restart files, and an end that leaves everything on disk."""

from pathlib import Path

import numpy as np
from ase import Atoms

from sognet.errors import InputError
from sognet.periodicity import has_stress
from sognet.simulation.calculator import SOGNetCalculator
from sognet.simulation.engines import MakeEngine
from sognet.simulation.engines.ase import ASEEngine
from sognet.simulation.files import GrowingFile, columns_of, frame_text, line_of
from sognet.simulation.initial_structure import draw_velocities
from sognet.simulation.limits import exceeded_limit, too_close
from sognet.simulation.restart import RestartState, arrays_of, put_back
from sognet.simulation.settings import SimulationSettings
from sognet.simulation.step_display import StepDisplay
from sognet.simulation.stop_request import StopRequest
from sognet.simulation.thermodynamics import FORCE, POTENTIAL, TEMPERATURE, drift, summary_of, values_of
from sognet.simulation.trajectory_files import trajectory_file
from sognet.simulation.uncertain_frames import UncertainFrames

START = "start.extxyz"
"""The first structure, from which a simulation is set up again to be continued, whatever becomes of the user's file."""

FAILURES = (InputError, np.linalg.LinAlgError)
"""What an evaluation raises where the state of a simulation makes no sense."""


class Simulation:
    """Dynamics or relaxation by an engine, at its start.

    Parameters
    ----------
    atoms : structure; its velocities are taken, or drawn where all are zero.
    calculator : of the model; its field acts.
    settings : what is asked for.
    folder : where everything is written; it exists.
    make_engine : what moves the atoms.

    Raises
    ------
    InputError : the model does not know the structure, or the settings do not fit it or the engine.
    """

    def __init__(
        self,
        atoms: Atoms,
        calculator: SOGNetCalculator,
        settings: SimulationSettings,
        folder: Path,
        make_engine: MakeEngine = ASEEngine,
    ) -> None:
        if settings.uncertainty.needs_committee and len(calculator.evaluator.members) < 2:
            raise InputError("simulation.uncertainty needs a committee, checkpoint=[a.ckpt,b.ckpt]")
        calculator.evaluator.structure(atoms, "the first structure")
        self.atoms, self.calculator, self.settings, self.folder = atoms, calculator, settings, folder
        self.rng = np.random.default_rng(settings.seed)
        self.has_own_velocities = bool(atoms.get_momenta().any())
        if settings.relaxes:
            atoms.set_momenta(np.zeros((len(atoms), 3)))
        elif not self.has_own_velocities:
            draw_velocities(atoms, settings.temperature, self.rng)
        atoms.calc = calculator
        self.engine = make_engine(atoms, settings, self.rng)
        if settings.relaxes and not hasattr(self.engine, "largest_force"):
            raise InputError("simulation=relax: this engine does not relax; use engine=ase")
        self.trajectory = trajectory_file(folder, settings.trajectory)
        self.thermo = GrowingFile(folder / "thermo.csv")
        self.uncertain = UncertainFrames(folder, settings.uncertainty)
        self.step = 0
        self.columns: dict[str, list[float]] = {}

    def begin(self) -> None:
        """Write the first frame.

        Raises
        ------
        InputError : the folder has a simulation already, or the first structure cannot be evaluated.
        """
        if self.trajectory.size or self.thermo.size:
            raise InputError(f"{self.folder}: has a simulation already; continue it with resume={self.folder}")
        self.uncertain.clear()
        self._evaluate()
        self._check()
        self._write_frame(START)
        self._record()
        self._save()

    def continue_from(self, state: RestartState) -> None:
        """Go back to a restart file: what was written after it is dropped, and the same steps follow.

        Raises
        ------
        InputError : the files of the folder do not belong to it.
        """
        put_back(self.atoms, state.arrays, self.folder)
        self.rng.bit_generator.state = state.random
        self.engine.restore(state.arrays)
        self.step = state.step
        self.uncertain.restore(state.arrays)
        self.trajectory.restore(state.sizes[self.trajectory.path.name], state.arrays)
        for file in (self.thermo, self.uncertain.file):
            file.cut(state.sizes.get(file.path.name, 0))
        self.columns = columns_of(self.thermo.path)
        self._evaluate()

    def run(self) -> str:
        """All steps that are left; what came out, in words.

        Raises
        ------
        InputError : the simulation cannot go on, or nothing can be written; what there is so far is on disk.
        SystemExit : told to stop by a signal; the restart file is that of the last step.
        """
        steps, every = self.settings.steps, self.settings.every
        display = StepDisplay(self.step, steps, None if self.settings.relaxes else self.settings.timestep)
        with StopRequest() as request, display:
            display.show(self.step, self._numbers)
            while self.step < steps and not self._is_relaxed():
                self._advance()
                if self.step % every == 0:
                    self._record()
                if self.step % self.settings.restart_every == 0 or request.signal is not None:
                    self._save()
                if request.signal is not None:
                    raise SystemExit(request.exit_code)
                display.show(self.step, self._numbers)
        if self.columns["step"][-1] != self.step:
            self._evaluate(stress=self._has_stress)
            self._record()
        self._save()
        self._write_frame("final.extxyz")
        return self._conclusion(display.speed(self.step))

    @property
    def _has_stress(self) -> bool:
        return has_stress(self.atoms.cell.array, self.atoms.pbc)

    def _wants_stress(self, step: int) -> bool:
        """Whether an evaluation gives the stress, by the number of the step alone, so that resumed ones do the same."""
        moves_cell = self.settings.ensemble == "npt" or self.settings.cell
        return self._has_stress and (moves_cell or step % self.settings.every == 0)

    def _evaluate(self, stress: bool | None = None) -> None:
        self.calculator.with_stress = self._wants_stress(self.step) if stress is None else stress
        properties = ["energy", "forces", *(["stress"] if self.calculator.with_stress else [])]
        for name in properties:
            self.calculator.get_property(name, self.atoms)

    def _advance(self) -> None:
        self.step += 1
        self.calculator.with_stress = self._wants_stress(self.step)
        try:
            self.engine.step(self.step)
            if self.settings.relaxes:
                self._evaluate()
        except FAILURES as error:
            reason = exceeded_limit(self.atoms, self.settings) or too_close(self.atoms)
            raise self._stopped(reason or str(error)) from error
        self._check()

    def _check(self) -> None:
        if (reason := exceeded_limit(self.atoms, self.settings)) is not None:
            raise self._stopped(reason)
        if (reason := self.uncertain.watch(self.atoms, self.step, self._frame)) is not None:
            raise self._stopped(reason, frame=None)

    def _stopped(self, reason: str, frame: str | None = "stopped.extxyz") -> InputError:
        """The error that ends the simulation; the frame at its end is written."""
        if frame is not None:
            GrowingFile(self.folder / frame).append(frame_text(self.atoms, {}, step=self.step))
            reason += f"; the frame is in {frame}"
        when = "" if self.settings.relaxes else f" ({self.settings.time(self.step):g} ps)"
        return InputError(f"stopped at step {self.step}{when}: {reason}, everything before it in {self.folder}")

    def _record(self) -> None:
        values = values_of(self.atoms, self.engine, self.settings, self.step)
        self.trajectory.write(self.atoms, self.calculator.results, **self._about())
        self.thermo.append(line_of(values, header=not self.columns))
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)

    def _about(self) -> dict[str, float]:
        return {"step": self.step} | ({} if self.settings.relaxes else {"time_ps": self.settings.time(self.step)})

    def _frame(self, **info: float) -> str:
        return frame_text(self.atoms, self.calculator.results, **self._about(), **info)

    def _write_frame(self, name: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        GrowingFile(path).append(self._frame())

    def _save(self) -> None:
        arrays = arrays_of(self.atoms) | self.engine.state() | self.uncertain.state() | self.trajectory.state()
        sizes = {file.path.name: file.size for file in (self.trajectory, self.thermo, self.uncertain.file)}
        RestartState(self.step, arrays, self.rng.bit_generator.state, sizes).write(self.folder)

    def _is_relaxed(self) -> bool:
        return self.settings.relaxes and self.engine.largest_force() <= self.settings.fmax

    def _numbers(self) -> str:
        last = {name: values[-1] for name, values in self.columns.items()}
        if self.settings.relaxes:
            return f"{last[POTENTIAL]:.6g} eV, largest force {last[FORCE]:.3g} eV/Å"
        slope = drift(self.columns, len(self.atoms))
        return f"{last[TEMPERATURE]:.0f} K" + ("" if slope is None else f", drift {slope:.2g} meV/atom/ps")

    def _conclusion(self, speed: str) -> str:
        if self.settings.relaxes:
            forces, fmax = self.columns[FORCE][-1], self.settings.fmax
            end = "relaxed" if self._is_relaxed() else f"not relaxed (simulation.fmax={fmax:g})"
            said = [f"{end} after {self.step} steps: largest force {forces:.3g} eV/Å"]
        else:
            summary = summary_of(self.columns, len(self.atoms))
            said = [f"{self.settings.time(self.step):g} ps: {summary}, {speed}"]
        said += [sentence for sentence in (self.uncertain.conclusion(),) if sentence]
        return ". ".join([*said, f"Everything is in {self.folder}"])
