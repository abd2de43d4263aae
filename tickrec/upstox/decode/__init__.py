"""Decode: the broker's protobuf messages to the columns of our tables.

Owns the schema of the messages, what each field becomes, and cheap looks at a message that need no columns. Pure: no
socket, no file, no clock. Read `tables` first.
"""
