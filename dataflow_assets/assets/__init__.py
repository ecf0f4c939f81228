"""The assets, in the order of the flow, each in a file with its checks.

    raw_documents -> validated_documents -> chunks -> corrections -> embeddings -> search_index -> quality_report

What belongs here: what Dagster shows of a stage and when it runs. What does not: logic that deserves a unit test. An asset
lets the flow do a stage's outstanding work and gives the changes to the IO manager, which stores them in one transaction.
"""
