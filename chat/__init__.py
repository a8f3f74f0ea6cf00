"""The chat face of the agent: what stands between Chainlit's hooks in app.py and the conversations."""
