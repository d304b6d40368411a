"""The watch over a run while it trains: it ends a run for a catastrophe alone, never because its curve looks worse."""

from collections import deque
from collections.abc import Iterable

from research_app.evidence.digits import number
from training.detectors.record import TRAIN_LOSS
from training.spec import Point

AVERAGED = 20  # points; one odd batch is no catastrophe
OVER_LOWEST = 3.0  # times the lowest average so far; the highest of an honest default run is 1.1


class Watch:
    """Sees the train loss point by point. `catastrophe` says in a sentence why the run should end; empty: it goes on."""

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=AVERAGED)
        self.lowest = float("inf")
        self.catastrophe = ""

    def see(self, points: Iterable[Point]) -> None:
        """The next points, in order. Losses that are not above zero have no ratio and are left alone."""
        for point in points:
            loss = point.values.get(TRAIN_LOSS, point.values.get("loss"))  # what code that reports itself may call it
            if loss is None or self.catastrophe:
                continue
            self.last.append(loss)
            average = sum(self.last) / len(self.last)
            if len(self.last) < AVERAGED:
                continue
            self.lowest = min(self.lowest, average)
            if self.lowest > 0 and average > OVER_LOWEST * self.lowest:
                self.catastrophe = (
                    f"the train loss rose to {number(average, 4)} at step {point.step}, "
                    f"{average / self.lowest:.1f} times the lowest "
                    f"it had been (averages of {AVERAGED} points; the limit is {OVER_LOWEST:g})"
                )
