"""The application: `python3 -m uvicorn app.main:app`."""

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from . import models  # noqa: F401  (declares the tables)
from . import live, pages
from .database import create_tables, get_session
from .routes import accounts, analytics, bookings, events, habits, locations, notes, posts, tasks
from .routes import wire

app = FastAPI(title="Booking", version="1.0")

for module in (
    accounts,
    locations,
    bookings,
    tasks,
    notes,
    habits,
    events,
    posts,
    analytics,
    wire,
    live,
    pages,
):
    app.include_router(module.router)


@app.on_event("startup")
def prepare() -> None:
    create_tables()


@app.get("/healthz", tags=["health"])
async def healthz():
    """The process is alive."""
    return {"status": "ok"}


@app.get("/readyz", tags=["health"])
def readyz(session=Depends(get_session)):
    """The database answers too."""
    try:
        session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise HTTPException(503, "The database does not answer") from error
    return {"status": "ok"}
