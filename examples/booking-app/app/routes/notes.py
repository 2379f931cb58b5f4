from datetime import datetime
from typing import List, Optional

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import String, cast, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from ..database import get_session, is_sqlite
from ..models import Note, User
from ..paging import Page
from ..security import current_user

router = APIRouter(prefix="/api/notes", tags=["notes"])


class NewNote(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    body: str = Field("", max_length=20000)
    tags: List[str] = Field([], max_items=10)


def to_json(note: Note) -> dict:
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "tags": note.tags,
        "created_at": note.created_at,
    }


def has_tag(tag: str):
    if is_sqlite:
        return cast(Note.tags, String).contains(f'"{tag}"', autoescape=True)
    return type_coerce(Note.tags, JSONB).contains([tag])


@router.get("")
def list_notes(
    page: Page = Depends(),
    tag: Optional[str] = None,
    text: Optional[str] = None,
    user: User = Depends(current_user),
    session=Depends(get_session),
):
    query = session.query(Note).filter_by(user_id=user.id)
    if tag is not None:
        query = query.filter(has_tag(tag))
    if text is not None:
        query = query.filter(Note.body.ilike(f"%{text}%"))
    return page.of(query.order_by(Note.created_at.desc(), Note.id.desc()), to_json)


@router.post("", status_code=201)
def add_note(body: NewNote, user: User = Depends(current_user), session=Depends(get_session)):
    note = Note(user_id=user.id, created_at=datetime.utcnow(), **body.dict())
    session.add(note)
    session.commit()
    return to_json(note)


@router.delete("/{note_id}", status_code=204)
def delete_note(note_id: int, user: User = Depends(current_user), session=Depends(get_session)):
    note = session.query(Note).filter_by(id=note_id, user_id=user.id).first()
    if note is None:
        raise HTTPException(404, "No such note")
    session.delete(note)
    session.commit()
