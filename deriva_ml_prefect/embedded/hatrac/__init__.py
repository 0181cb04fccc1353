"""Hatrac: objects with versions under hierarchical names, with checksums, metadata and access lists.

Entry point: `service.open_service(data_folder)`, a callable Request → Response. A request goes raw URL (`url`) →
resource → one of `namespaces`, `objects`, `uploads`, `metadata`, `acl`, `rename`, over `store` (names, versions and
jobs as frozen rows) and `content` (bytes on disk).

Bytes are on disk under their final name, fsynced, before the row that mentions them is committed, so an answered
write survives a kill. It does better than the original in three ways: SHA-256 is verified, a refused chunk leaves no
trace, and a job with chunks missing is not finalised.

It does not know what the bytes mean, and it knows nothing of catalogs.
"""
