"""Figures for the owner: each is a join or an aggregate over whole tables, computed per request."""

from fastapi import APIRouter, Depends, Query
from sqlalchemy import case, distinct, extract, func

from ..database import get_session
from ..models import Booking, HabitEntry, Location, Service, StaffMember, Task, User

router = APIRouter(prefix="/api/analytics", tags=["analytics"])

year = extract("year", Booking.starts_at)
month = extract("month", Booking.starts_at)
hour = extract("hour", Booking.starts_at)


def share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


@router.get("/revenue")
def revenue(session=Depends(get_session)):
    """Revenue, bookings and distinct clients per location and month."""
    rows = (
        session.query(
            Location.name,
            year,
            month,
            func.sum(Booking.price_cents),
            func.count(Booking.id),
            func.count(distinct(User.id)),
        )
        .select_from(Booking)
        .join(Location, Location.id == Booking.location_id)
        .join(Service, Service.id == Booking.service_id)
        .join(User, User.id == Booking.client_id)
        .filter(Booking.status == "done")
        .group_by(Location.name, year, month)
        .order_by(Location.name, year, month)
    )
    return [
        {
            "location": name,
            "month": f"{int(y):04d}-{int(m):02d}",
            "revenue_cents": cents,
            "bookings": bookings,
            "clients": clients,
        }
        for name, y, m, cents, bookings, clients in rows
    ]


@router.get("/top-clients")
def top_clients(limit: int = Query(10, ge=1, le=100), session=Depends(get_session)):
    """The clients who spent most, then one more query per client for the last visit."""
    spent = func.sum(Booking.price_cents)
    rows = (
        session.query(User.id, User.name, spent, func.count(Booking.id))
        .join(Booking, Booking.client_id == User.id)
        .filter(Booking.status == "done")
        .group_by(User.id, User.name)
        .order_by(spent.desc(), User.id)
        .limit(limit)
        .all()
    )
    return [
        {
            "client_id": client_id,
            "name": name,
            "spent_cents": cents,
            "visits": visits,
            "last_visit": session.query(func.max(Booking.starts_at))
            .filter(Booking.client_id == client_id, Booking.status == "done")
            .scalar(),
        }
        for client_id, name, cents, visits in rows
    ]


@router.get("/no-show-rate")
def no_show_rate(session=Depends(get_session)):
    """The share of missed appointments per location."""
    missed = func.sum(case((Booking.status == "no_show", 1), else_=0))
    rows = (
        session.query(Location.name, func.count(Booking.id), missed)
        .join(Booking, Booking.location_id == Location.id)
        .filter(Booking.status.in_(("done", "no_show")))
        .group_by(Location.name)
        .order_by(Location.name)
    )
    return [
        {"location": name, "bookings": total, "no_shows": n, "percent": share(n, total)}
        for name, total, n in rows
    ]


@router.get("/busiest-hours")
def busiest_hours(session=Depends(get_session)):
    count = func.count(Booking.id)
    rows = session.query(hour, count).group_by(hour).order_by(count.desc(), hour)
    return [{"hour": int(h), "bookings": n} for h, n in rows]


@router.get("/staff")
def staff_ranking(session=Depends(get_session)):
    """Revenue per member of staff, asked for one by one."""
    ranking = []
    for member in session.query(StaffMember).limit(30):
        cents, visits = (
            session.query(func.sum(Booking.price_cents), func.count(Booking.id))
            .filter(Booking.staff_id == member.id, Booking.status == "done")
            .one()
        )
        ranking.append(
            {
                "staff_id": member.id,
                "name": member.name,
                "location": member.location.name,
                "revenue_cents": cents or 0,
                "visits": visits,
            }
        )
    return sorted(ranking, key=lambda row: (-row["revenue_cents"], row["staff_id"]))


@router.get("/overview")
def overview(session=Depends(get_session)):
    done = session.query(Booking).filter_by(status="done")
    return {
        "users": session.query(User).count(),
        "bookings": session.query(Booking).count(),
        "bookings_done": done.count(),
        "revenue_cents": done.with_entities(func.sum(Booking.price_cents)).scalar() or 0,
        "active_clients": session.query(Booking.client_id).distinct().count(),
        "tasks_open": session.query(Task).filter(Task.status != "done").count(),
        "habit_entries": session.query(HabitEntry).count(),
    }
