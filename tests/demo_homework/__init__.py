"""The demo's homework on a real server, with clients that do as they like."""
