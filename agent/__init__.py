"""The agent: one loop that asks a model and runs its tools; it knows nothing of the chat, of HTTP or of recording."""
