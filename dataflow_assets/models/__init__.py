"""Language and embedding models behind two small interfaces.

What belongs here: the interfaces (`base`) and one module per provider. What does not: which rows are asked about (the
warehouse knows), what may change in a text (the guard in `stages.guard`), and anything of Dagster.
"""
