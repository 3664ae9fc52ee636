"""The packages that run in CI: the ORM, transactions, asyncio, sessions, auth, test clients."""

CI = (
    "aggregation",
    "async",
    "asgi",
    "auth_tests",
    "backends",
    "basic",
    "queries",
    "sessions_tests",
    "test_client",
    "transactions",
)
