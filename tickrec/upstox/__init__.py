"""Upstox: everything that knows the broker, and nothing else does.

`auth` reads the token and `login` gets one; `rest`, `candles` (at the pace of a `throttle`), `master` and `timings` are
what is asked over HTTP, `websocket` and `protocol` what goes over the feed, within `limits`; its messages are for
`decode`. Takes values, not the configuration, and knows nothing of files but the token's. Read `feed` first, then
`link` (one connection), `reconnect` (its way back), `subscriber` (one websocket of it) and `liveness` (whether that
still lives, and where its data ended).
"""
