"""A self-hosted server for the Literal AI protocol, with a dashboard to read every thread back."""
