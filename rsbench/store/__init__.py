"""Every result, in SQL: tables, engine, writer, queries. No database object leaves this package."""
