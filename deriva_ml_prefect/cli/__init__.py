"""The commands: `deriva-ml-run`, `deriva-ml-run-notebook`, `deriva-ml-prefect`.

Entry points: `run.main`, `notebook.main` and `main.main`, each taking the arguments and returning the exit status: 0; 1
for an error of this package (one line on stderr, no traceback); 2 for wrong usage; 130 for Ctrl-C. `told.told` sees to
that for all of them; `verify` has statuses of its own, and `catalog_choice` finds the catalog that is meant.

Everything heavy is imported when a command needs it, so that `--help` costs little more than starting Python. What the
commands do is in `experiments`, `phases`, `questions` and `embedded`.
"""
