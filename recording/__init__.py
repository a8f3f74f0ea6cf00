"""How the agent's events become threads and steps of the Literal protocol, and reach a server that keeps them."""
