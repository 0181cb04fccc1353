"""Frozen values and the pure rules about them.

Entry points: `status` (the seven statuses and their transition table), `effects` (one planned write), `address` (which
catalog), `rid`, `version`, `names` (the vocabulary of the schema), `records` (rows of the catalog as values),
`reconciliation` (which side is right when journal and catalog differ), `objects` (names of stored objects), `progress`,
`frozen` (the base of what a short command loads).

Nothing here does any I/O or reads a clock; nothing here knows which room uses it.
"""
