"""An ERMrest- and Hatrac-compatible DERIVA for one person on loopback, on SQLite and files, in a process of its own.

Entry points: `python -m deriva_ml_prefect.embedded --data FOLDER`, and `server` to find or start that process.
`app` is the web application; behind it stand the services `ermrest.service.ErmrestService` (catalogs: model, rows,
history) and the Hatrac service (objects). `authn` knows who asks. Every answered write is on disk (`database`).

It is a house of its own: it imports nothing else of this package and knows nothing of deriva-ml. It does not serve two
people, a public address, or federation: that is what a real DERIVA is for.
"""
