"""Serve: a server in the broker's own protocol, REST and websocket on one loopback port.

`server` owns the port and the connections, `endpoints` what REST answers, `stream` who gets what over the websockets,
and what a slow client gets instead; `client` and `subscriptions` are one websocket and what it asked for, `access` who
may in, `faults` what goes wrong on demand and for how long; `intervals` make candles of minutes. What there is to serve
comes from a `source`, which is told the time: `synthetic` is a made-up market, `replay` are recorded days, `relay` the
day being recorded (which it joins by `join_state`); those two share `recorded_market`. `child` is a
simulator beside a recorder. Read `source` first, then `server`.
"""

import os

# A request for the prices of 500 instruments is longer than the 8 KiB that websockets takes unless it is told so before
# it is imported.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", "32768")
