"""Facts about the code and the surroundings of a run, free of secrets.

Entry points: `code.find_code` (which code runs, by the first rule that fits), `git.code_of_file` (one file's facts),
`caller.calling_file` and `caller.code_file` (whose code it is), `notebook.running_notebook`,
`container.code_of_container`, `lockfile.find_lockfile`, `environment.environment_snapshot` (machine, packages, allowed
variables), and `scrub.make_scrubber`, through which everything passes that is to be recorded: texts, argument lists,
mappings, files.

Writes nothing, keeps nothing, and talks to nobody but `git`, `nvidia-smi` and a Jupyter server on this machine. It does
not decide what a dirty working tree means, nor where a fact is stored.
"""
