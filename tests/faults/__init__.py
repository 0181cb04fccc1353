"""The campaign of faults: a run is killed, cut off and misled at every boundary, and a resume must make it whole.

`world` is one embedded DERIVA and a lane (home, catalog, proxy) for each worker; `program` is the run and its recovery,
as a person would write them; `schedule` says which trouble meets which process; `judge` conducts one schedule and says
whether the promises held; `picture` is what a catalog holds of it; `planted` are bugs that the campaign must catch.
"""
