"""Decode: the broker's protobuf messages, and what becomes of them.

Owns the schema of the messages and what each field becomes: payloads (`batches`; `plain`
where ptars cannot be used) become columns (`columns`) and rows of
our tables (`tables`). Beside that way, messages are looked at cheaply (`peek`), taken apart as bytes (`wire`) and
reduced to a mode (`modes`). Pure: no socket, no file, no clock. Read `tables` first.
"""
