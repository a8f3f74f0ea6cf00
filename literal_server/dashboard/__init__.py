"""Pages for people: the threads of a project and one thread in full, rendered on the server."""
