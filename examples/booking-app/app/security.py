"""Passwords, bearer tokens, and who is asking."""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Optional

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from . import settings
from .database import get_session
from .models import LoginSession, User

bearer = HTTPBearer(auto_error=False)


def hash_password(password: str, salt: Optional[bytes] = None) -> str:
    salt = salt or secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
    return f"scrypt${salt.hex()}${digest.hex()}"


def password_matches(password: str, stored: str) -> bool:
    _, salt, _ = stored.split("$")
    return hmac.compare_digest(hash_password(password, bytes.fromhex(salt)), stored)


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(session, user: User) -> str:
    """Gives the user a new token; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    now = datetime.utcnow()
    session.add(
        LoginSession(
            user_id=user.id,
            token_hash=hash_token(token),
            created_at=now,
            expires_at=now + timedelta(days=settings.session_days),
        )
    )
    return token


def current_login(
    credentials: Optional[HTTPAuthorizationCredentials] = Depends(bearer),
    session=Depends(get_session),
) -> LoginSession:
    login = None
    if credentials is not None:
        token_hash = hash_token(credentials.credentials)
        login = session.query(LoginSession).filter_by(token_hash=token_hash).first()
    if login is None or login.expires_at < datetime.utcnow():
        raise HTTPException(401, "A valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
    return login


def current_user(login: LoginSession = Depends(current_login)) -> User:
    return login.user


def current_staff(user: User = Depends(current_user)) -> User:
    if user.role not in ("staff", "admin"):
        raise HTTPException(403, "This is for staff")
    return user
