"""What the HTTP client stands on: which addresses may be asked, connections, pace, bodies, and what can go wrong.

What belongs here: one module for each of these, none of which knows a kind of source. What does not: the client itself
(`sources.http`), which puts them together.
"""
