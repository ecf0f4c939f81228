"""The tables: DuckDB behind a queue, change detection, and the document store.

What belongs here: connections and their lock, the schema, which rows are stale or gone, merging what a stage made in one
transaction, figures over the tables, and the compressed bytes of the documents. What does not: what a row should say
(`stages`), and when it is worked on (`assets`). The store is DuckDB on a file today; whoever adds another gives it the
same `Warehouse` methods.
"""
