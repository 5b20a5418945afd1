"""Signals that tell a simulation to stop: noted, and acted on after the step in progress."""

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class StopRequest:
    """Listens while it is entered. A second Ctrl-C ends at once; what is ignored, as SIGHUP under nohup, stays so."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.earlier: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self.earlier[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self.earlier.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """As a shell reports the signal."""
        return 128 + int(self.signal or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise SystemExit(128 + number)
        self.signal = signal.Signals(number)
        if number == signal.SIGINT:
            print("\ninterrupted: saving after this step; Ctrl-C again ends at once", flush=True)
