"""Pages for people: run list, execution, dataset and comparison, made from the answers of `questions`.

Entry point: `execution_page.render_execution`, the summary of one execution as Markdown.

Nothing is asked of the catalog here and nothing is written: a page is made from a frozen answer.
"""
