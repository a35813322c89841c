"""A migrated PostgreSQL database of a test, made good for the next one."""

import asyncpg

SHAPE = """
SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s %s %s', attrelid::regclass, attname,
                  format_type(atttypid, atttypmod), attnotnull, attcollation,
                  pg_get_expr(adbin, adrelid)) AS line
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL SELECT format('%s %s %s', relname, relkind, relacl)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', tgrelid::regclass, tgname)
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', nspname, nspacl) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%'
    UNION ALL SELECT format('%s %s', datacl, datconnlimit) FROM pg_database
    WHERE datname = current_database()
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
    JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
    UNION ALL SELECT version_num FROM openshow_schema
    UNION ALL SELECT version_num FROM alembic_version) AS lines (line)
"""
"""All that a test may have changed of a migrated database, but for its rows."""

_EMPTY = """
SET session_replication_role = replica;  -- foreign keys and triggers have no say
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND relname NOT IN ('openshow_schema', 'alembic_version')
    LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
END $$;
SELECT setval(oid, 1, false) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
"""

_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def emptied(url: str, shape: str) -> bool:
    """Empty it, whoever uses it, if it has this shape still: its rows are all that has changed."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(_END_OTHERS)
        if await connection.fetchval(SHAPE) != shape:
            return False
        await connection.execute(_EMPTY)
        return True
    finally:
        await connection.close()
