"""The export service of the embedded DERIVA: carries out a download specification, and keeps the result a while.

`POST /deriva/export/bdbag` answers the URL of a serialized bag, `POST /deriva/export/file` the URLs of single files.
The specification is the one of deriva-py's downloader: a catalog, an environment of texts, query processors that read
the catalog one after another, and how to make the bag. It is carried out inside this process, by the ERMrest and
Hatrac services, as the client that asks: with its rights and no others.

Entry points: `service.open_service`. On the way: `specification` reads the document, `steps` carries it out with what
`reader` reads, `bag` writes the tag files and the archive, `results` keeps it.

Nothing outside this server is ever asked for: another server's address in an asset's URL goes into the bag's fetch.txt
as it stands. Post-processors (cloud upload, identifiers) and transformations answer 501.
"""
