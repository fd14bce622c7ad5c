"""SQLite files and PostgreSQL schemas: opening, locking, checking."""
