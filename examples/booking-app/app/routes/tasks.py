from datetime import date, datetime, timedelta
from typing import Literal, Optional

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..database import get_session
from ..models import Task, User
from ..paging import Page
from ..security import current_user

router = APIRouter(prefix="/api/tasks", tags=["tasks"])

Status = Literal["open", "doing", "done"]


class NewTask(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    priority: int = Field(3, ge=1, le=4)
    due_date: Optional[date] = None


class Change(BaseModel):
    title: Optional[str] = Field(None, min_length=1, max_length=200)
    status: Optional[Status] = None
    priority: Optional[int] = Field(None, ge=1, le=4)
    due_date: Optional[date] = None


def to_json(task: Task) -> dict:
    return {
        "id": task.id,
        "title": task.title,
        "status": task.status,
        "priority": task.priority,
        "due_date": task.due_date,
        "created_at": task.created_at,
        "completed_at": task.completed_at,
    }


def find(session, user: User, task_id: int) -> Task:
    task = session.query(Task).filter_by(id=task_id, user_id=user.id).first()
    if task is None:
        raise HTTPException(404, "No such task")
    return task


@router.get("")
def list_tasks(
    page: Page = Depends(),
    status: Optional[Status] = None,
    user: User = Depends(current_user),
    session=Depends(get_session),
):
    query = session.query(Task).filter_by(user_id=user.id)
    if status is not None:
        query = query.filter_by(status=status)
    return page.of(query.order_by(Task.priority, Task.due_date, Task.id), to_json)


@router.get("/summary")
def summary(user: User = Depends(current_user), session=Depends(get_session)):
    """One count per question, each over the whole table."""
    mine = session.query(Task).filter_by(user_id=user.id)
    counts = {status: mine.filter_by(status=status).count() for status in ("open", "doing", "done")}
    overdue = mine.filter(Task.status != "done", Task.due_date < date.today()).count()
    return {**counts, "overdue": overdue}


@router.post("", status_code=201)
def add_task(body: NewTask, user: User = Depends(current_user), session=Depends(get_session)):
    task = Task(
        user_id=user.id,
        title=body.title,
        status="open",
        priority=body.priority,
        due_date=body.due_date or date.today() + timedelta(days=7),
        created_at=datetime.utcnow(),
    )
    session.add(task)
    session.commit()
    return to_json(task)


@router.get("/{task_id}")
def get_task(task_id: int, user=Depends(current_user), session=Depends(get_session)):
    return to_json(find(session, user, task_id))


@router.patch("/{task_id}")
def change_task(
    task_id: int, body: Change, user=Depends(current_user), session=Depends(get_session)
):
    task = find(session, user, task_id)
    for name, value in body.dict(exclude_none=True).items():
        setattr(task, name, value)
    if body.status is not None:
        task.completed_at = datetime.utcnow() if body.status == "done" else None
    session.commit()
    return to_json(task)


@router.delete("/{task_id}", status_code=204)
def delete_task(task_id: int, user=Depends(current_user), session=Depends(get_session)):
    session.delete(find(session, user, task_id))
    session.commit()
