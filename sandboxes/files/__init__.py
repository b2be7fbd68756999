"""A server of CSV and JSON files, as shops export them: with dialects, encodings and validators."""
