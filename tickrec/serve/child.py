"""Child: the simulated market as a child process: what `--simulate` records.

The child is `tickrec simulate` on a free loopback port. It ends when its stdin closes, so it cannot outlive the
recorder however that ends.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence

from tickrec import children
from tickrec.errors import BrokerUnreachable

TOKEN = "simulated"
"""An access token: any will do."""


@contextlib.contextmanager
def simulated_market(options: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Run the simulated market for the length of the block, with these options of `tickrec simulate`.

    Gives its addresses, of REST and of the lists of instruments. Raises BrokerUnreachable if it does not come up.
    """
    command = children.command("tickrec", "simulate", "--until-eof", "--port", "0", *options)
    # A Ctrl-C in the terminal reaches the whole process group; the child has to outlive the recorder's last messages.
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        env=children.without_secrets(),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line:
            raise BrokerUnreachable("the simulated market did not start", hint="Run `tickrec simulate` to see why")
        facts = json.loads(line)
        yield facts["api_url"], facts["assets_url"]
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait()
