"""Upstox: everything that knows the broker, and nothing else does.

Owns the token, REST, the websockets, what to subscribe within which limits, the shapes of the broker's answers and, in
`decode`, of its messages. Takes values, not the configuration, and knows nothing of files but the token's. Read `feed`
first, then `link` (one connection), `reconnect` (its way back), `subscriber` (one websocket of it) and `liveness`
(whether that still lives). The exchange's `candles` are asked for at the pace of a `throttle`.
"""
