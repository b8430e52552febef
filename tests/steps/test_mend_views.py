"""Mending a table that views stand on: they are there before and after, over the new rows, with what they had."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind
from materializationengine.storage.incremental_mend import Mend
from tests.harness import Engine
from tests.steps.test_incremental import digests, facts, spoil, two_versions

ANALYST = """
CREATE VIEW partners AS SELECT pre_pt_root_id AS pre, post_pt_root_id AS post, size FROM synapses;
CREATE MATERIALIZED VIEW degrees AS SELECT pre, count(*) AS n, sum(size) AS total FROM partners GROUP BY pre;
CREATE UNIQUE INDEX degrees_pre ON degrees (pre);
CREATE VIEW hubs WITH (security_barrier=true) AS
  SELECT d.pre, d.n FROM degrees d WHERE d.n > (SELECT avg(n) FROM degrees);
CREATE VIEW alone AS SELECT 1 AS one;
COMMENT ON VIEW partners IS 'what I use; 100% mine';
GRANT SELECT ON partners, hubs TO {reader};
"""
CHECK = """
SELECT (SELECT count(*) FROM partners), (SELECT sum(n)::bigint FROM degrees), (SELECT count(*) > 0 FROM hubs),
       (SELECT one FROM alone), (SELECT sum(size)::float8 FROM partners), (SELECT sum(total)::float8 FROM degrees)
"""
ABOUT = """
SELECT relname::text, relkind::text, coalesce(reloptions::text, ''), coalesce(relacl::text, ''),
       coalesce(obj_description(oid), ''), (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid AND indisunique),
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END
FROM pg_class c WHERE relname IN ('partners', 'degrees', 'hubs', 'alone') ORDER BY relname
"""


def test_views_on_a_mended_table_show_its_new_rows_and_keep_all_that_was_theirs(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    base, version = two_versions(engine, small_world, datastack)
    database, reader = frozen_database(datastack, version), f"{datastack}_reader"
    do(engine, database, f"CREATE ROLE {reader};" + ANALYST.format(reader=reader))
    try:
        truth, about = ask(engine, database, CHECK), ask(engine, database, ABOUT)
        before = digests(engine, datastack, version)
        spoil(engine, datastack, version)
        do(engine, database, "UPDATE synapses SET size = size + 1; REFRESH MATERIALIZED VIEW degrees")
        assert ask(engine, database, CHECK) != truth
        done = engine.run(RunKind.INCREMENTAL, datastack, base_version=base, mends=version)
        assert facts(done, "mend.swap_in")["mended"] == ["synapses"]
        assert digests(engine, datastack, version) == before
        assert ask(engine, database, CHECK) == truth and ask(engine, database, ABOUT) == about
        assert ask(engine, database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'matengine_mend'") == [(0,)]
    finally:
        do(engine, database, f"DROP OWNED BY {reader}; DROP ROLE {reader}")


@pytest.mark.faults
def test_a_view_made_while_the_tables_stood_aside_is_not_lost(
    engine: Engine, small_world: Path, datastack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap sees a view that it has not built, gives up, and builds all of them at the next try."""
    base, version = two_versions(engine, small_world, datastack)
    database = frozen_database(datastack, version)
    spoil(engine, datastack, version)
    swap, tries = Mend.swap, []

    def late(self: Mend, *args: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            do(engine, database, "CREATE VIEW late AS SELECT id FROM synapses")
        swap(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Mend, "swap", late)
    engine.run(RunKind.INCREMENTAL, datastack, base_version=base, mends=version)
    assert len(tries) == 2 and ask(engine, database, "SELECT count(*) > 0 FROM late") == [(True,)]


def do(engine: Engine, database: str, statements: str) -> None:
    with closing(engine.services.cluster.raw(database)) as connection:
        connection.set_session(readonly=False, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(statements)


def ask(engine: Engine, database: str, statement: str) -> list[tuple[object, ...]]:
    with engine.services.cluster.connect(database) as connection:
        return connection.rows(statement)
