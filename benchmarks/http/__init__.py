"""Django under several servers, and its peers, over HTTP."""
