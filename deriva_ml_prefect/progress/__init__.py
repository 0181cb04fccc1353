"""How far long work is, for a person: a bar on a terminal, a line now and then elsewhere, nothing for what is quick.

    meter    showing(what, *, total, unit, items) -> context of Meter: .advance(amount, items), .reach(done, items)
             hidden() -> context in which nothing is shown, e.g. where Prefect shows it
             Standing: where a piece of work is, and its words
    bar      bars on stderr, those of several threads below each other; rich is imported with the first one
    lines    lines on stderr, the further apart the longer it takes

`DERIVA_ML_PROGRESS` chooses (`config.settings`). Whoever does the work tells a Meter, which costs a few hundred
nanoseconds and never raises; nothing is drawn in the first two seconds.
"""
