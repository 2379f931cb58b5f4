"""The pages for people, rendered on the server; every request reads everything anew."""

from datetime import datetime
from html import escape

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from .database import get_session
from .models import Booking, Location
from .paging import Page
from .routes import analytics, events, locations, posts

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 0 1rem;
  color: #223; }
nav a { margin-right: 1rem; } h2 { margin-top: 2rem; } table { border-collapse: collapse; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #dde; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
.cards > div { border: 1px solid #dde; border-radius: .5rem; padding: .7rem; } small { color: #667; }
input, button { font: inherit; margin: .2rem 0; }
"""


def html_page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<nav><a href="/">Booking</a> <a href="/events">Events</a> <a href="/blog">Blog</a>
<a href="/analytics">Analytics</a> <a href="/live">Live</a> <a href="/account">Account</a> <a href="/docs">API</a></nav>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""


def money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def moment(value: datetime) -> str:
    return value.strftime("%d %B %Y, %H:%M")


def table(head: list, rows: list) -> str:
    def line(tag: str, cells: list) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def cards(items: list) -> str:
    return '<div class="cards">' + "".join(f"<div>{item}</div>" for item in items) + "</div>"


def location_card(location: dict) -> str:
    return (
        f'<a href="/locations/{location["id"]}">{escape(location["name"])}</a><br>'
        f'<small>{escape(location["city"])}, {location["opens_at"]} to {location["closes_at"]}'
        f'</small><br>{len(location["staff"])} staff, {location["upcoming_bookings"]} bookings'
        " in the next seven days"
    )


def event_card(event: dict) -> str:
    return (
        f'<b>{escape(event["title"])}</b><br><small>{moment(event["starts_at"])}, '
        f'{escape(event["location"])}</small><br>{event["places_left"]} places left'
    )


def post_card(post: dict) -> str:
    return (
        f'<a href="/blog/{escape(post["slug"])}">{escape(post["title"])}</a><br>'
        f'<small>{escape(post["author"])}, {moment(post["published_at"])}, '
        f'{post["comments"]} comments</small>'
    )


@router.get("/")
def front(session=Depends(get_session)):
    figures = analytics.overview(session)
    return html_page(
        "Booking",
        "<h2>Locations</h2>"
        + cards([location_card(row) for row in locations.list_locations(session)])
        + "<h2>Coming events</h2>"
        + cards([event_card(events.to_json(row)) for row in events.coming(session).limit(6)])
        + "<h2>From the blog</h2>"
        + cards([post_card(posts.summary(row)) for row in posts.newest(session).limit(6)])
        + "<h2>In figures</h2>"
        + table(
            ["Users", "Bookings", "Done", "Active clients", "Revenue"],
            [
                [
                    figures["users"],
                    figures["bookings"],
                    figures["bookings_done"],
                    figures["active_clients"],
                    money(figures["revenue_cents"]),
                ]
            ],
        ),
    )


@router.get("/locations/{location_id}")
def location(location_id: int, session=Depends(get_session)):
    found: Location = locations.find(session, location_id)
    recent = (
        session.query(Booking)
        .filter_by(location_id=found.id, status="done")
        .order_by(Booking.starts_at.desc(), Booking.id.desc())
        .limit(15)
    )
    return html_page(
        found.name,
        f"<p>{escape(found.description)}</p><p>{escape(found.address)}, {escape(found.city)}</p>"
        "<h2>Staff</h2>"
        + table(["Name", "Title"], [[member.name, member.title] for member in found.staff])
        + "<h2>Services</h2>"
        + table(
            ["Service", "Minutes", "Price"],
            [
                [service["name"], service["minutes"], money(service["price_cents"])]
                for service in locations.list_services(session)
            ],
        )
        + "<h2>Last visits</h2>"
        + table(
            ["When", "Service", "By"],
            [[moment(row.starts_at), row.service.name, row.staff.name] for row in recent],
        ),
    )


@router.get("/events")
def event_list(page: Page = Depends(), session=Depends(get_session)):
    found = page.of(events.coming(session), events.to_json)
    return html_page(
        "Coming events", cards([event_card(row) for row in found["items"]]) + turn_pages(found)
    )


@router.get("/blog")
def blog(page: Page = Depends(), session=Depends(get_session)):
    found = page.of(posts.newest(session), posts.summary)
    return html_page("Blog", cards([post_card(row) for row in found["items"]]) + turn_pages(found))


def turn_pages(found: dict) -> str:
    number, last = found["page"], found["pages"]
    before = f'<a href="?page={number - 1}">newer</a> ' if number > 1 else ""
    after = f' <a href="?page={number + 1}">more</a>' if number < last else ""
    return f'<p>{before}page {number} of {last}, {found["total"]} in all{after}</p>'


@router.get("/blog/{slug}")
def blog_post(slug: str, session=Depends(get_session)):
    post = posts.full(posts.find(session, slug))
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in post["body"].split("\n\n"))
    comments = "".join(
        f'<p><b>{escape(comment["author"])}</b> <small>{moment(comment["created_at"])}</small><br>'
        f'{escape(comment["body"])}</p>'
        for comment in post["comments"]
    )
    byline = f'<small>{escape(post["author"])}, {moment(post["published_at"])}</small>'
    return html_page(post["title"], f"{byline}{paragraphs}<h2>Comments</h2>{comments}")


@router.get("/analytics")
def analytics_page(session=Depends(get_session)):
    return html_page(
        "Analytics",
        "<h2>Best clients</h2>"
        + table(
            ["Client", "Visits", "Spent", "Last visit"],
            [
                [row["name"], row["visits"], money(row["spent_cents"]), moment(row["last_visit"])]
                for row in analytics.top_clients(10, session)
            ],
        )
        + "<h2>Missed appointments</h2>"
        + table(
            ["Location", "Bookings", "Missed", "%"],
            [
                [row["location"], row["bookings"], row["no_shows"], row["percent"]]
                for row in analytics.no_show_rate(session)
            ],
        )
        + "<h2>Revenue per month</h2>"
        + table(
            ["Location", "Month", "Bookings", "Clients", "Revenue"],
            [
                [
                    row["location"],
                    row["month"],
                    row["bookings"],
                    row["clients"],
                    money(row["revenue_cents"]),
                ]
                for row in analytics.revenue(session)
            ],
        ),
    )


ACCOUNT = """
<form id="login"><input name="email" type="email" placeholder="email" required>
<input name="password" type="password" placeholder="password" required>
<button>Log in</button></form>
<form id="add" hidden><input name="title" placeholder="a new task" required>
<button>Add</button></form>
<p id="message"></p><ul id="tasks"></ul>
<script>
const by = (id) => document.getElementById(id);
let token = "";
async function call(method, path, body) {
  const headers = {"content-type": "application/json"};
  if (token) headers.authorization = "Bearer " + token;
  const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.detail);
  return data;
}
async function show() {
  const tasks = await call("GET", "/api/tasks?per_page=50");
  by("message").textContent = tasks.total + " tasks";
  by("tasks").replaceChildren(...tasks.items.map((task) => {
    const item = document.createElement("li");
    item.textContent = task.title + " (" + task.status + ", due " + task.due_date + ")";
    return item;
  }));
}
function on(id, act) {
  by(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await act(Object.fromEntries(new FormData(event.target)));
      event.target.reset();
      await show();
    } catch (error) { by("message").textContent = error.message; }
  });
}
on("login", async (fields) => {
  token = (await call("POST", "/api/accounts/login", fields)).token;
  by("login").hidden = true;
  by("add").hidden = false;
});
on("add", (fields) => call("POST", "/api/tasks", fields));
</script>
"""


@router.get("/account")
def account():
    return html_page("My tasks", ACCOUNT)
