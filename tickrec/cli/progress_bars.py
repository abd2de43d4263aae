"""Progress lines on stderr for what takes long, where somebody looks at it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tickrec.clock import Clock
    from tickrec.upstox.rest import Progress

_PATIENCE_S: Final = 2.0
"""What takes less needs no line."""


@contextlib.contextmanager
def progress_line(
    what: str = "", *, after_s: float = 0.0, clock: "Clock | None" = None
) -> "Iterator[Callable[..., None] | None]":
    """A line on stderr for what takes longer than `after_s`, where somebody looks at it.

    It is gone when it is done or something is logged.
    """
    if not sys.stderr.isatty():
        yield None
        return
    import logging

    from tickrec.clock import SECOND, SystemClock

    shown, log = False, logging.getLogger("tickrec")
    clock = clock or SystemClock()
    since_ns = clock.monotonic_ns() + int(after_s * SECOND)

    def show(percent: float, step: str = "") -> None:
        nonlocal shown
        if clock.monotonic_ns() < since_ns:
            return
        shown = True
        print(
            f"\r{what} {'#' * int(percent / 4):<25} {percent:3.0f} %  {step}\x1b[K", end="", file=sys.stderr, flush=True
        )

    def clear(_record: object = None) -> bool:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        return True

    log.addFilter(clear)
    try:
        yield show
    finally:
        log.removeFilter(clear)
        clear()


@contextlib.contextmanager
def download_line() -> "Iterator[Progress | None]":
    """A line on stderr for the download of the day's instruments, where somebody looks at it."""
    from tickrec.formatting import size

    with progress_line("instruments", after_s=_PATIENCE_S) as show:

        def draw(received: int, total: int | None) -> None:
            if show is not None and total:
                show(100 * received / total, f"{size(received)} of {size(total)}")

        yield None if show is None else draw


@contextlib.contextmanager
def step_line(what: str) -> "Iterator[Callable[[str, float], None] | None]":
    """A line on stderr for the steps of something long, where somebody looks at it."""
    with progress_line(what, after_s=_PATIENCE_S) as show:
        yield None if show is None else (lambda step, share: show(share * 100, step))
