"""The neighbors of a materialization engine, emulated in one process.

A chunkedgraph whose edits can be replayed, with the info, schema and auth services that `caveclient` asks.
Start it with ``python -m localcave serve --dir DIR --port 0``.
"""
