from datetime import date, datetime, timedelta
from typing import Optional

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..database import get_session
from ..models import Habit, HabitEntry, User
from ..security import current_user

router = APIRouter(prefix="/api/habits", tags=["habits"])


class NewHabit(BaseModel):
    name: str = Field(min_length=1, max_length=100)


class NewEntry(BaseModel):
    day: Optional[date] = None
    done: bool = True


def streak(habit: Habit) -> int:
    """Days in a row up to today; every entry is loaded for it."""
    done = {entry.day for entry in habit.entries if entry.done}
    day, length = date.today(), 0
    if day not in done:
        day -= timedelta(days=1)
    while day in done:
        day -= timedelta(days=1)
        length += 1
    return length


def to_json(habit: Habit) -> dict:
    return {
        "id": habit.id,
        "name": habit.name,
        "entries": len(habit.entries),
        "done": sum(entry.done for entry in habit.entries),
        "streak": streak(habit),
        "created_at": habit.created_at,
    }


@router.get("")
def list_habits(user: User = Depends(current_user), session=Depends(get_session)):
    habits = session.query(Habit).filter_by(user_id=user.id).order_by(Habit.id)
    return [to_json(habit) for habit in habits]


@router.post("", status_code=201)
def add_habit(body: NewHabit, user: User = Depends(current_user), session=Depends(get_session)):
    habit = Habit(user_id=user.id, name=body.name, created_at=datetime.utcnow())
    session.add(habit)
    session.commit()
    return to_json(habit)


@router.post("/{habit_id}/entries", status_code=201)
def add_entry(
    habit_id: int,
    body: NewEntry,
    user: User = Depends(current_user),
    session=Depends(get_session),
):
    habit = session.query(Habit).filter_by(id=habit_id, user_id=user.id).first()
    if habit is None:
        raise HTTPException(404, "No such habit")
    day = body.day or date.today()
    entry = session.query(HabitEntry).filter_by(habit_id=habit.id, day=day).first()
    if entry is None:
        entry = HabitEntry(habit_id=habit.id, day=day)
        session.add(entry)
    entry.done = body.done
    session.commit()
    return to_json(habit)
