"""Serving libraries to others: the HTTP API with its keys, limits, metrics and events, the page, and the MCP server.

What belongs here: who may ask, how much and how often, and the form in which answers leave the house. What does not: finding
answers (`search`), doing a library's work (`flow`), and Dagster: a run is asked for in a process of its own, so that a service
that answers questions never carries the weight of one that reads documents.
"""
