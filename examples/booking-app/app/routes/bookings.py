from datetime import datetime, timedelta
from typing import Literal, Optional

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..clock import to_utc
from ..database import get_session
from ..jobs import remind
from ..live import announce
from ..models import Booking, Service, StaffMember, User
from ..paging import Page
from ..security import current_user

router = APIRouter(prefix="/api/bookings", tags=["bookings"])

Status = Literal["booked", "done", "cancelled", "no_show"]


class NewBooking(BaseModel):
    staff_id: int
    service_id: int
    starts_at: datetime
    note: str = Field("", max_length=2000)


class Change(BaseModel):
    status: Optional[Status] = None
    note: Optional[str] = Field(None, max_length=2000)


def to_json(booking: Booking) -> dict:
    return {
        "id": booking.id,
        "location": booking.location.name,
        "staff": booking.staff.name,
        "service": booking.service.name,
        "client": booking.client.name,
        "starts_at": booking.starts_at,
        "status": booking.status,
        "price_cents": booking.price_cents,
        "note": booking.note,
        "created_at": booking.created_at,
    }


def visible(session, user: User):
    """Clients see their own bookings, staff see all."""
    query = session.query(Booking)
    return query.filter_by(client_id=user.id) if user.role == "client" else query


def find(session, user: User, booking_id: int) -> Booking:
    booking = visible(session, user).filter_by(id=booking_id).first()
    if booking is None:
        raise HTTPException(404, "No such booking")
    return booking


@router.get("")
def list_bookings(
    page: Page = Depends(),
    status: Optional[Status] = None,
    location_id: Optional[int] = None,
    user: User = Depends(current_user),
    session=Depends(get_session),
):
    query = visible(session, user)
    if status is not None:
        query = query.filter_by(status=status)
    if location_id is not None:
        query = query.filter_by(location_id=location_id)
    return page.of(query.order_by(Booking.starts_at.desc(), Booking.id.desc()), to_json)


@router.post("", status_code=201)
def book(body: NewBooking, user: User = Depends(current_user), session=Depends(get_session)):
    member = session.get(StaffMember, body.staff_id)
    service = session.get(Service, body.service_id)
    if member is None or service is None:
        raise HTTPException(404, "No such member of staff or service")
    starts_at = to_utc(body.starts_at)
    hour = starts_at.replace(minute=0, second=0, microsecond=0)
    taken = session.query(Booking).filter(
        Booking.staff_id == member.id,
        Booking.status != "cancelled",
        Booking.starts_at >= hour,
        Booking.starts_at < hour + timedelta(hours=1),
    )
    if taken.count():
        raise HTTPException(409, "This hour is taken")
    booking = Booking(
        location_id=member.location_id,
        staff_id=member.id,
        service_id=service.id,
        client_id=user.id,
        starts_at=starts_at,
        status="booked",
        price_cents=service.price_cents,
        note=body.note,
        created_at=datetime.utcnow(),
    )
    session.add(booking)
    session.commit()
    remind(booking)
    announce(booking)
    return to_json(booking)


@router.get("/{booking_id}")
def get_booking(booking_id: int, user=Depends(current_user), session=Depends(get_session)):
    return to_json(find(session, user, booking_id))


@router.patch("/{booking_id}")
def change_booking(
    booking_id: int, body: Change, user=Depends(current_user), session=Depends(get_session)
):
    booking = find(session, user, booking_id)
    if user.role == "client" and body.status not in (None, "cancelled"):
        raise HTTPException(403, "Clients may only cancel")
    for name, value in body.dict(exclude_none=True).items():
        setattr(booking, name, value)
    session.commit()
    return to_json(booking)


@router.delete("/{booking_id}", status_code=204)
def delete_booking(booking_id: int, user=Depends(current_user), session=Depends(get_session)):
    session.delete(find(session, user, booking_id))
    session.commit()
