"""The tables. Nothing has an index beyond its primary key."""

from sqlalchemy import JSON, Boolean, Column, Date, DateTime, ForeignKey, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import relationship

from .database import Base


class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    email = Column(String(200), nullable=False)
    name = Column(String(100), nullable=False)
    role = Column(String(20), nullable=False)  # client, staff or admin
    password_hash = Column(String(200), nullable=False)
    created_at = Column(DateTime, nullable=False)


class LoginSession(Base):
    __tablename__ = "login_sessions"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    token_hash = Column(String(64), nullable=False)
    created_at = Column(DateTime, nullable=False)
    expires_at = Column(DateTime, nullable=False)
    user = relationship(User)


class Location(Base):
    __tablename__ = "locations"
    id = Column(Integer, primary_key=True)
    name = Column(String(100), nullable=False)
    city = Column(String(100), nullable=False)
    address = Column(String(200), nullable=False)
    description = Column(Text, nullable=False)
    opens_at = Column(Integer, nullable=False)  # hour of the day
    closes_at = Column(Integer, nullable=False)
    staff = relationship("StaffMember", back_populates="location")


class StaffMember(Base):
    __tablename__ = "staff"
    id = Column(Integer, primary_key=True)
    location_id = Column(Integer, ForeignKey("locations.id"), nullable=False)
    name = Column(String(100), nullable=False)
    title = Column(String(100), nullable=False)
    location = relationship(Location, back_populates="staff")


class Service(Base):
    __tablename__ = "services"
    id = Column(Integer, primary_key=True)
    name = Column(String(100), nullable=False)
    minutes = Column(Integer, nullable=False)
    price_cents = Column(Integer, nullable=False)


class Booking(Base):
    __tablename__ = "bookings"
    id = Column(Integer, primary_key=True)
    location_id = Column(Integer, ForeignKey("locations.id"), nullable=False)
    staff_id = Column(Integer, ForeignKey("staff.id"), nullable=False)
    service_id = Column(Integer, ForeignKey("services.id"), nullable=False)
    client_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    starts_at = Column(DateTime, nullable=False)
    status = Column(String(20), nullable=False)  # booked, done, cancelled or no_show
    price_cents = Column(Integer, nullable=False)
    note = Column(Text, nullable=False)
    created_at = Column(DateTime, nullable=False)
    location = relationship(Location)
    staff = relationship(StaffMember)
    service = relationship(Service)
    client = relationship(User)


class Task(Base):
    __tablename__ = "tasks"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    title = Column(String(200), nullable=False)
    status = Column(String(20), nullable=False)  # open, doing or done
    priority = Column(Integer, nullable=False)  # 1 is the most urgent of 4
    due_date = Column(Date, nullable=False)
    created_at = Column(DateTime, nullable=False)
    completed_at = Column(DateTime)


class Note(Base):
    __tablename__ = "notes"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    title = Column(String(200), nullable=False)
    body = Column(Text, nullable=False)
    tags = Column(JSON().with_variant(JSONB(), "postgresql"), nullable=False)
    created_at = Column(DateTime, nullable=False)


class Habit(Base):
    __tablename__ = "habits"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    name = Column(String(100), nullable=False)
    created_at = Column(DateTime, nullable=False)
    entries = relationship("HabitEntry", back_populates="habit")


class HabitEntry(Base):
    __tablename__ = "habit_entries"
    id = Column(Integer, primary_key=True)
    habit_id = Column(Integer, ForeignKey("habits.id"), nullable=False)
    day = Column(Date, nullable=False)
    done = Column(Boolean, nullable=False)
    habit = relationship(Habit, back_populates="entries")


class Event(Base):
    __tablename__ = "events"
    id = Column(Integer, primary_key=True)
    location_id = Column(Integer, ForeignKey("locations.id"), nullable=False)
    title = Column(String(200), nullable=False)
    description = Column(Text, nullable=False)
    starts_at = Column(DateTime, nullable=False)
    capacity = Column(Integer, nullable=False)
    location = relationship(Location)
    registrations = relationship("Registration", back_populates="event")


class Registration(Base):
    __tablename__ = "registrations"
    id = Column(Integer, primary_key=True)
    event_id = Column(Integer, ForeignKey("events.id"), nullable=False)
    user_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    created_at = Column(DateTime, nullable=False)
    event = relationship(Event, back_populates="registrations")


class Post(Base):
    __tablename__ = "posts"
    id = Column(Integer, primary_key=True)
    author_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    slug = Column(String(200), nullable=False)
    title = Column(String(200), nullable=False)
    body = Column(Text, nullable=False)
    published_at = Column(DateTime, nullable=False)
    author = relationship(User)
    comments = relationship("Comment", back_populates="post")


class Comment(Base):
    __tablename__ = "comments"
    id = Column(Integer, primary_key=True)
    post_id = Column(Integer, ForeignKey("posts.id"), nullable=False)
    author_id = Column(Integer, ForeignKey("users.id"), nullable=False)
    body = Column(Text, nullable=False)
    created_at = Column(DateTime, nullable=False)
    author = relationship(User)
    post = relationship(Post, back_populates="comments")
