from datetime import date, datetime, time, timedelta

from fastapi import APIRouter, Depends, HTTPException

from ..database import get_session
from ..models import Booking, Location, Service

router = APIRouter(prefix="/api/locations", tags=["locations"])


def upcoming(session, location: Location) -> int:
    """Bookings of the next seven days."""
    now = datetime.utcnow()
    return (
        session.query(Booking)
        .filter(
            Booking.location_id == location.id,
            Booking.status == "booked",
            Booking.starts_at >= now,
            Booking.starts_at < now + timedelta(days=7),
        )
        .count()
    )


def to_json(session, location: Location) -> dict:
    return {
        "id": location.id,
        "name": location.name,
        "city": location.city,
        "address": location.address,
        "description": location.description,
        "opens_at": location.opens_at,
        "closes_at": location.closes_at,
        "staff": [
            {"id": member.id, "name": member.name, "title": member.title}
            for member in location.staff
        ],
        "upcoming_bookings": upcoming(session, location),
    }


def find(session, location_id: int) -> Location:
    location = session.get(Location, location_id)
    if location is None:
        raise HTTPException(404, "No such location")
    return location


@router.get("")
def list_locations(session=Depends(get_session)):
    return [to_json(session, row) for row in session.query(Location).order_by(Location.name)]


@router.get("/services")
def list_services(session=Depends(get_session)):
    return [
        {"id": row.id, "name": row.name, "minutes": row.minutes, "price_cents": row.price_cents}
        for row in session.query(Service).order_by(Service.id)
    ]


@router.get("/{location_id}")
def get_location(location_id: int, session=Depends(get_session)):
    return to_json(session, find(session, location_id))


@router.get("/{location_id}/availability")
def availability(location_id: int, day: date, session=Depends(get_session)):
    """The free hours of each member of staff, asked member by member."""
    location = find(session, location_id)
    begin = datetime.combine(day, time())
    free = []
    for member in location.staff:
        taken = {
            booking.starts_at.hour
            for booking in session.query(Booking).filter(
                Booking.staff_id == member.id,
                Booking.status != "cancelled",
                Booking.starts_at >= begin,
                Booking.starts_at < begin + timedelta(days=1),
            )
        }
        hours = [h for h in range(location.opens_at, location.closes_at) if h not in taken]
        free.append({"staff_id": member.id, "name": member.name, "free_hours": hours})
    return {"location_id": location.id, "day": day, "staff": free}
