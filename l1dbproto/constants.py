"""Fixed figures of the simulation, as the seed and the LSST notes give them."""

from __future__ import annotations

FOV_deg = 3.5
"""Full opening angle of the field of view, degrees."""
N_TRANS_PER_VISIT = 100
"""Mean number of true transients per visit."""
N_FALSE_PER_VISIT = 5050
"""Mean number of false detections per visit."""
HTM_LEVEL = 20
"""Depth of the mesh whose trixel ids are stored (about 0.3 arcseconds)."""
HTM_MAX_RANGES = 64
"""Trixel ranges asked for per region; a hint to the envelope, which may be coarser."""
FIRST_NOISE_ID = 1_000_000_000
"""Ids above this one belong to noise and transients, ids below to the variables of the sources file."""
FORCED_CUTOFF_DAYS = 30
"""How long after its last detection an object still gets forced photometry."""
DAYS_PER_MONTH = 30
"""Length of the months in `read_sources_months`, as the successor of the prototype counts them."""
VISITS_PER_DAILY_JOB = 1000
VISITS_PER_ROW_COUNT = 50
"""Visit ids divisible by these begin with the daily activities, or log the row counts."""
