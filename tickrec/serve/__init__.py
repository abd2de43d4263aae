"""Serve: a server in the broker's own protocol, REST and websocket on one loopback port.

Owns the connections, subscriptions, one-time codes and faults on demand. What it serves comes from a source;
`synthetic` is one, a made-up market. Knows nothing of a store or of a recording. Read `server` first.
"""
