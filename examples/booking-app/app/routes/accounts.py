from datetime import datetime

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..database import get_session
from ..models import LoginSession, User
from ..security import (
    current_login,
    current_user,
    hash_password,
    open_session,
    password_matches,
)

router = APIRouter(prefix="/api/accounts", tags=["accounts"])


class Registration(BaseModel):
    email: str = Field(regex=r"^[^@\s]+@[^@\s]+$", max_length=200)
    name: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=8, max_length=200)


class Login(BaseModel):
    email: str
    password: str


def to_json(user: User) -> dict:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "created_at": user.created_at,
    }


@router.post("/register", status_code=201)
def register(body: Registration, session=Depends(get_session)):
    if session.query(User).filter_by(email=body.email).count():
        raise HTTPException(409, "This address has an account already")
    user = User(
        email=body.email,
        name=body.name,
        role="client",
        password_hash=hash_password(body.password),
        created_at=datetime.utcnow(),
    )
    session.add(user)
    session.commit()
    return to_json(user)


@router.post("/login")
def login(body: Login, session=Depends(get_session)):
    user = session.query(User).filter_by(email=body.email).first()
    if user is None or not password_matches(body.password, user.password_hash):
        raise HTTPException(401, "Wrong address or password")
    token = open_session(session, user)
    session.commit()
    return {"token": token, "token_type": "bearer", "user": to_json(user)}


@router.post("/logout", status_code=204)
def logout(login: LoginSession = Depends(current_login), session=Depends(get_session)):
    session.delete(login)
    session.commit()


@router.get("/me")
def me(user: User = Depends(current_user)):
    return to_json(user)
