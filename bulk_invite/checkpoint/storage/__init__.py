"""SQLite files and PostgreSQL schemas: opened, locked, checked."""
