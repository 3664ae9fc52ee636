"""PostgreSQL over psycopg 3; its queries wait on the loop without a thread."""
