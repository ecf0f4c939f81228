"""How pages of the web are found: links, sitemaps, robots.txt, what one page says, and which pages are taken.

What belongs here: one module for each of these, and the listing that puts them together. What does not: requests themselves
(`sources.http`), and what a page says to its reader (`stages.readers`).
"""
