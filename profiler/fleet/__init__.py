"""Many runs at once: read one after the other in bounded memory, grouped by DuckDB. A run that cannot be read is listed, and the others go on."""
