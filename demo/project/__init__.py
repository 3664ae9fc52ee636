"""The site: settings, addresses, and what begins and ends with the server."""
