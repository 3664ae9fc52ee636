"""Stand-ins for what small builds of PostgreSQL leave out and Django's tests take for granted.

Without them whole packages could not create their tables. With them only those tests fail, in every
mode, that look at what the real thing does.
"""

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

# A collation that comes with ICU.
COLLATION = 'CREATE COLLATION IF NOT EXISTS "sv-x-icu" (PROVIDER = libc, LOCALE = "C")'

# CREATE EXTENSION needs files beside the server; Django looks into this table first.
REGISTER = """
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    SELECT max(oid)::int + 1, %s, 10, 'public'::regnamespace, false, '0' FROM pg_extension
"""
DIGEST = """
    CREATE FUNCTION public.digest(data text, type text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE type
            WHEN 'sha224' THEN sha224(convert_to(data, 'UTF8'))
            WHEN 'sha256' THEN sha256(convert_to(data, 'UTF8'))
            WHEN 'sha384' THEN sha384(convert_to(data, 'UTF8'))
            WHEN 'sha512' THEN sha512(convert_to(data, 'UTF8'))
        END
    $$
"""
EXTENSIONS = {"pgcrypto": DIGEST, "uuid-ossp": ""}


def complete(connection: "Connection[Any]") -> None:
    """Add to a template database what the server lacks."""
    connection.execute(COLLATION)
    for name in EXTENSIONS.keys() - set(_extensions(connection)):
        connection.execute(REGISTER, [name])
        if sql := EXTENSIONS[name]:
            connection.execute(sql)


def fingerprint(connection: "Connection[Any]") -> str:
    """Names a kind of server, so that outcomes on different ones are not mixed up."""
    extensions = " ".join(_extensions(connection))
    digest = hashlib.sha256(extensions.encode()).hexdigest()
    return f"{connection.info.server_version // 10_000}-{digest[:6]}"


def _extensions(connection: "Connection[Any]") -> list[str]:
    return [
        name
        for (name,) in connection.execute("SELECT name FROM pg_available_extensions ORDER BY 1")
    ]
