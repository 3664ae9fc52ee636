"""The two services that the home page asks: small aiohttp applications."""
