"""The SQL side: tables, the engine, migrations."""
