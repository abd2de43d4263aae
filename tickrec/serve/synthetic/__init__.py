"""Synthetic: a made-up market that a server can serve.

Owns which instruments exist, how their prices walk, when the exchange is open, and the broker's messages about them.
Knows no socket. Read `prices` first.
"""
