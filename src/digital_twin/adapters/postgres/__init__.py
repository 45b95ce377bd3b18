"""PostgreSQL: an embedded server where none is given, migrations, and every noun's SQL."""
