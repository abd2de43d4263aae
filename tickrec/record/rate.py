"""Rate: events a second, from running totals."""

from collections import deque

from tickrec.clock import SECOND


class Rate:
    """Events a second over the last few seconds, from running totals that are sampled about once a second."""

    def __init__(self, window_ns: int = 5 * SECOND) -> None:
        self._window_ns = window_ns
        self._samples: deque[tuple[int, int]] = deque()

    def sample(self, total: int, mono_ns: int) -> float:
        """Take the running total at a monotonic time; the rate since the oldest sample in the window."""
        samples = self._samples
        samples.append((mono_ns, total))
        while len(samples) > 2 and samples[1][0] <= mono_ns - self._window_ns:
            samples.popleft()
        then_ns, before = samples[0]
        return (total - before) * SECOND / (mono_ns - then_ns) if mono_ns > then_ns else 0.0
