"""Synthetic: a made-up market, the first source of the server.

Owns which instruments exist (`listings`, `stocks`, `records`), how their prices walk (`market`, `prices`, `options`),
the exchange's bars of that (`minutes`), when the exchange is open (`phases`) and the broker's messages about them
(`messages`). Knows no socket. Read `simulator` first: it is the market as a source.
"""
