"""The L1 wing: two visits of the telescope to one field, stored in SQLite, and what the database knows afterwards.

Usage: 6_l1_visit.py [FOLDER]
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

from l1dbproto.apps.gen_sources import total
from l1dbproto.constants import FIRST_NOISE_ID
from l1dbproto.generators import rand_sphere_xyz
from l1dbproto.l1db import L1db
from l1dbproto.records import Visit
from l1dbproto.sky import Sky, write_sky
from l1dbproto.survey import Footprint, Survey, SurveyPlan
from l1dbproto.tilepool import InProcess

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples-l1").absolute()
folder.mkdir(parents=True, exist_ok=True)

# Latest versions of objects in a table of their own; a year of sources is read back.
(folder / "l1db.cfg").write_text(f"""
[database]
url = sqlite:///{folder / "l1db.sqlite"}

[l1db]
dia_object_index = last_object_table
object_last_replace = 1
read_sources_months = 12
read_forced_sources_months = 12
source_select = by-oid
""")
db = L1db(folder / "l1db.cfg")
db.makeSchema(drop=True)

# A southern sky with 500 variable objects in a field of view; the telescope stays on one field.
write_sky(folder / "variables.npy", rand_sphere_xyz(total(500, -1), -1, seed=1))
ra, decl = 30.0, -20.0
plan = SurveyPlan(timedelta(seconds=45), seed=1, n_trans=100, footprint=Footprint(ra, decl, 0.0))
survey = Survey(db, Sky.open(folder / "variables.npy"), plan, InProcess())
first = Visit(1, datetime(2026, 1, 1, 20), FIRST_NOISE_ID, 0)
for _ in survey.run(2, first):
    rows = db.tableRowCount()
    print(f"stored: {rows['DiaObject']} versions of objects, {rows['DiaSource']} sources")

# What the third visit would ask: the latest version of each object around here, and their sources.
region = Circle(UnitVector3d(LonLat.fromDegrees(ra, decl)), Angle.fromDegrees(0.5))
objects = db.getDiaObjects(region)
sources = db.getDiaSources(region, objects)
twice = {source.diaObjectId for source in sources if source.ccdVisitId == 1}
twice &= {source.diaObjectId for source in sources if source.ccdVisitId == 2}
print(f"near the center: {len(objects)} objects with {len(sources)} sources; {len(twice)} were seen in both visits")
db.close()
