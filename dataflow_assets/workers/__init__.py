"""Parsing hostile documents in processes of their own.

What belongs here: the pool that gives documents to worker processes (`pool`, `driver`), the parent's side of one of
them (`process`), the worker's side (`child`), what it may not do (`confinement`), and what the two say to each other
(`frames`, `messages`, `verdicts`). What does not: readers and archives themselves (`stages`), which know nothing of processes.

A parser is code that meets files which somebody made to break it. It may crash, leak, loop, or be taken over. So it runs in
a process that can be killed: one document is lost, and never the run. What comes from there is data to be checked, never
objects to be unpickled.
"""
