"""What the file of a SQLite storage holds: the mark that it is ours, and its tables."""

from __future__ import annotations

MARK = 0x464C5253
"""Stands in the file's header (``application_id``) and says that it is ours."""

COUNTERS = (
    """
CREATE TABLE IF NOT EXISTS counters (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    window INTEGER NOT NULL,
    start REAL NOT NULL,
    previous INTEGER NOT NULL,
    current INTEGER NOT NULL,
    written_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (namespace, key, window)
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS counters_by_end ON counters (expires_at)",
    """
CREATE TABLE IF NOT EXISTS units (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,
    cost INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (namespace, key, at)
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS units_by_end ON units (expires_at)",
)
"""Makes what counters need, in files of before there were any, too; else locks nothing."""

SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA application_id = {MARK};
BEGIN;
CREATE TABLE clock (boot TEXT NOT NULL, offset REAL NOT NULL);
CREATE TABLE circuits (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    circuit TEXT NOT NULL,
    written_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
CREATE INDEX circuits_by_end ON circuits (expires_at);
{";".join(COUNTERS)};
"""
"""Makes a new file; its transaction is still to be committed."""
