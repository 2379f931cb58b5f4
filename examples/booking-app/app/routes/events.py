from datetime import datetime

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..clock import to_utc
from ..database import get_session
from ..models import Event, Location, Registration, User
from ..paging import Page
from ..security import current_staff, current_user

router = APIRouter(prefix="/api/events", tags=["events"])


class NewEvent(BaseModel):
    location_id: int
    title: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=5000)
    starts_at: datetime
    capacity: int = Field(20, ge=1, le=1000)


def to_json(event: Event) -> dict:
    return {
        "id": event.id,
        "title": event.title,
        "description": event.description,
        "location": event.location.name,
        "starts_at": event.starts_at,
        "capacity": event.capacity,
        "places_left": event.capacity - len(event.registrations),
    }


def coming(session):
    return (
        session.query(Event)
        .filter(Event.starts_at >= datetime.utcnow())
        .order_by(Event.starts_at, Event.id)
    )


def find(session, event_id: int) -> Event:
    event = session.get(Event, event_id)
    if event is None:
        raise HTTPException(404, "No such event")
    return event


@router.get("")
def list_events(page: Page = Depends(), session=Depends(get_session)):
    return page.of(coming(session), to_json)


@router.get("/{event_id}")
def get_event(event_id: int, session=Depends(get_session)):
    return to_json(find(session, event_id))


@router.post("", status_code=201)
def add_event(body: NewEvent, _: User = Depends(current_staff), session=Depends(get_session)):
    if session.get(Location, body.location_id) is None:
        raise HTTPException(404, "No such location")
    event = Event(**{**body.dict(), "starts_at": to_utc(body.starts_at)})
    session.add(event)
    session.commit()
    return to_json(event)


@router.post("/{event_id}/registrations", status_code=201)
def register(event_id: int, user: User = Depends(current_user), session=Depends(get_session)):
    event = find(session, event_id)
    if any(registration.user_id == user.id for registration in event.registrations):
        raise HTTPException(409, "You are registered already")
    if len(event.registrations) >= event.capacity:
        raise HTTPException(409, "This event is full")
    session.add(Registration(event_id=event.id, user_id=user.id, created_at=datetime.utcnow()))
    session.commit()
    return to_json(event)
