"""A local broker that speaks the Market Data Feed V3, with a synthetic market.

`server` owns the port and who gets in, `broadcast` and `session` what is sent to whom, `rest` the other answers,
`faults` what goes wrong on demand; `market` moves the prices of the instruments in `master`.
"""

from tickrec.upstox.simulator.server import HOST, SOURCE, Settings, Simulator, serve

__all__ = ["HOST", "SOURCE", "Settings", "Simulator", "serve"]
