import re
from datetime import datetime

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, Field

from ..database import get_session
from ..models import Comment, Post, User
from ..paging import Page
from ..security import current_staff, current_user

router = APIRouter(prefix="/api/posts", tags=["blog posts"])


class NewPost(BaseModel):
    title: str = Field(min_length=1, max_length=180)
    body: str = Field(min_length=1, max_length=100000)


class NewComment(BaseModel):
    body: str = Field(min_length=1, max_length=5000)


def summary(post: Post) -> dict:
    return {
        "id": post.id,
        "slug": post.slug,
        "title": post.title,
        "author": post.author.name,
        "excerpt": post.body[:200],
        "published_at": post.published_at,
        "comments": len(post.comments),
    }


def full(post: Post) -> dict:
    comments = [
        {"author": comment.author.name, "body": comment.body, "created_at": comment.created_at}
        for comment in post.comments
    ]
    return {**summary(post), "body": post.body, "comments": comments}


def newest(session):
    return session.query(Post).order_by(Post.published_at.desc(), Post.id.desc())


def find(session, slug: str) -> Post:
    post = session.query(Post).filter_by(slug=slug).first()
    if post is None:
        raise HTTPException(404, "No such post")
    return post


@router.get("")
def list_posts(page: Page = Depends(), session=Depends(get_session)):
    return page.of(newest(session), summary)


@router.get("/{slug}")
def get_post(slug: str, session=Depends(get_session)):
    return full(find(session, slug))


@router.post("", status_code=201)
def add_post(body: NewPost, user: User = Depends(current_staff), session=Depends(get_session)):
    words = re.sub(r"[^a-z0-9]+", "-", body.title.lower()).strip("-")
    post = Post(
        author_id=user.id,
        slug=f"{words}-{session.query(Post).count() + 1}",
        title=body.title,
        body=body.body,
        published_at=datetime.utcnow(),
    )
    session.add(post)
    session.commit()
    return full(post)


@router.post("/{slug}/comments", status_code=201)
def add_comment(
    slug: str,
    body: NewComment,
    user: User = Depends(current_user),
    session=Depends(get_session),
):
    post = find(session, slug)
    now = datetime.utcnow()
    session.add(Comment(post_id=post.id, author_id=user.id, body=body.body, created_at=now))
    session.commit()
    return full(post)
