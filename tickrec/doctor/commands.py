"""Commands: the user's own commands on_alert and on_done, and whether they can be run.

Runs them only when that is asked for.
"""

import os
import shutil
import subprocess
from typing import Final

from tickrec.children import split_command, without_secrets
from tickrec.doctor.findings import FAIL, OK, WARN, Finding

TRIAL: Final = "a test by tickrec doctor: you would be told like this"
SECONDS: Final = 30
"""A command that takes longer is killed."""


def command(name: str, text: str | None, unset: str) -> Finding:
    """Whether the command of the key `name` can be run. It is not run. `unset`: what comes of there being none."""
    if text is None:
        return Finding(OK, f"not set, so {unset}", f"Set {name} in [record] to be told")
    program, *arguments = split_command(text)
    if shutil.which(program) is None:
        return Finding(FAIL, f"{name} cannot be run: {program} is not found", "Write its full path")
    missing = [each for each in arguments if os.path.isabs(each) and not os.path.exists(each)]
    if missing:
        return Finding(FAIL, f"{name} runs {program} with {missing[0]}, which is not there", "Write where it is")
    paths = [each for each in (program, *arguments) if os.sep in each and not os.path.isabs(each) and "://" not in each]
    if paths:
        found = f"{name} names {paths[0]}, which depends on the folder that the recorder is started in"
        return Finding(WARN, found, "Write its full path")
    return Finding(OK, f"{name} runs {program}")


def tried(name: str, text: str, given: str, *, seconds: float = SECONDS) -> Finding:
    """Run the command of the key `name` with TRIAL as its last argument and `given` on its stdin; how that went."""
    words = [*split_command(text), TRIAL]
    try:
        done = subprocess.run(
            words,
            input=given.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=without_secrets(),
            timeout=seconds,
        )
    except OSError as error:
        return Finding(FAIL, f"{name} could not be run: {error.strerror or error}", "Write its full path")
    except subprocess.TimeoutExpired:
        return Finding(FAIL, f"{name} took more than {seconds:g} s and was killed")
    if done.returncode:
        last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it said nothing"
        return Finding(FAIL, f"{name} ended with exit code {done.returncode}: {last}")
    return Finding(OK, f"{name} was run with: {TRIAL}")
