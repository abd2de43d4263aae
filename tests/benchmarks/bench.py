"""What every measurement is given: where to work, how long to take, and the messages."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.benchmarks.pool import COARSE, TICKS_A_MESSAGE, Pool


@dataclass
class Bench:
    """One call of the benchmarks. `scratch` folders are removed when they have been used."""

    work: Path
    quick: bool
    turns: int
    minutes: float
    kept: dict[str, float] = field(default_factory=dict)
    """Figures that another row is compared with, so that they are not measured twice."""

    @cached_property
    def pool(self) -> Pool:
        """The messages: as many as a quick or a whole measurement sends once."""
        return Pool.make(self.work, self.ticks // TICKS_A_MESSAGE)

    @cached_property
    def coarse_pool(self) -> Pool:
        """Messages as the broker sends them: few and large."""
        return Pool.make(self.work, 2_000, COARSE)

    @property
    def ticks(self) -> int:
        """Ticks of a whole recording."""
        return 600_000 if self.quick else 3_000_000

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty folder."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on."""
        print(text, file=sys.stderr, flush=True)


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def output(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600, env=environment)
    return done.stdout
