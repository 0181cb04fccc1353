"""A DERIVA of one's own: an ERMrest- and Hatrac-compatible server on SQLite and files, for one person on loopback.

Entry points: `python -m deriva_ml_prefect.embedded --data DIR`, which is a process of its own, and `server.find`,
`server.spawn`, `server.stop` for the command line. Everything else finds a running server through the file
`server.json` in its data folder and speaks HTTP to it.

`app` is the web application, `authn` says who asks, `ermrest` keeps catalogs, `hatrac` keeps objects, `database` opens
SQLite files, `errors` knows the HTTP statuses, `http` is the seam between the services and the web server.

It knows nothing of deriva-ml, Prefect or the rest of this package, and imports none of it. It does not serve a public
address, several people, row-level rights, or federation: that is what a real DERIVA is for.
"""
