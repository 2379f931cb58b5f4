"""The engine and one session per request."""

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import declarative_base, sessionmaker
from sqlalchemy.schema import CreateTable

from . import settings

Base = declarative_base()

is_sqlite = make_url(settings.database_url).get_backend_name() == "sqlite"

if is_sqlite:
    # A request's session may be opened, used and closed by different threads.
    engine = create_engine(
        settings.database_url, connect_args={"check_same_thread": False, "timeout": 30}
    )
else:
    engine = create_engine(
        settings.database_url, pool_size=settings.pool_size, max_overflow=settings.max_overflow
    )

Session = sessionmaker(bind=engine)


def get_session():
    with Session() as session:
        yield session


def create_tables() -> None:
    """Creates what is missing; several workers may do so at the same time."""
    with engine.connect() as connection:
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with connection.begin():
            for table in Base.metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
