"""A performance prototype of the LSST alert-production ("level 1") database; `l1db.L1db` is its door."""
