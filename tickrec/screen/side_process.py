"""Side process: something that a process of its own finds out, while the viewer goes on."""

import subprocess
import tempfile

from tickrec import children


class Inquiry:
    """A module of ours that runs at low priority for what it prints. Raises OSError where it cannot be started."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe would have to be read while it runs
        self._process = subprocess.Popen(
            children.command(module, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.DEVNULL,
            env=children.without_secrets(),
        )

    def answer(self) -> str | None:
        """What it printed; empty when it failed, None while it runs."""
        if self._process.poll() is None:
            return None
        self._out.seek(0)
        return self._out.read().decode() if self._process.returncode == 0 else ""

    def close(self) -> None:
        """Be done with it, also when it is not."""
        self._process.kill()
        self._process.wait()
        self._out.close()
