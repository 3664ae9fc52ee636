"""The demo site: as a user starts it, and as an example of the public interface."""
