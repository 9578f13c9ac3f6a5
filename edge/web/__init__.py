"""The page and the API: a web server in a thread of its own that the recording never waits for."""
