"""A self-hosted server for the Literal AI protocol, with a dashboard to read every thread back."""

import logging

logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins while it is being imported
