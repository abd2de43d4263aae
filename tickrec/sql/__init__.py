"""What a query is made of: the tables, views and macros it names, what it may do, the files it reads, where it runs.

`tickrec.query` puts it together; nothing here knows the command line or how an answer is shown.
"""
