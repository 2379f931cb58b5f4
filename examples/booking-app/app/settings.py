"""What the environment may change."""

import os

database_url = os.environ.get("DATABASE_URL", "sqlite:///booking.db")
pool_size = int(os.environ.get("DB_POOL_SIZE", "5"))
max_overflow = int(os.environ.get("DB_MAX_OVERFLOW", "10"))
session_days = 30
