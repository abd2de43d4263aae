"""Decode: the broker's protobuf messages, and what becomes of them.

Owns the schema of the messages and what each field becomes: `batches` decodes bytes (`plain` where ptars cannot be
used), `columns` flattens what they hold to columns, `tables` makes rows of our tables. Beside that way, messages are
looked at cheaply (`peek`, `quotes`), taken apart as bytes (`wire`) and reduced to a mode (`modes`). Pure: no socket, no
file, no clock. Read `tables` first.
"""
