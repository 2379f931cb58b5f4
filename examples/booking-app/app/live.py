"""Bookings as they are made, told to everybody who has the live page open: one call of Headroom. Without LIVE_URL nobody is told."""

import json
import logging
import os
import pathlib
import urllib.request

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

CLIENT = pathlib.Path(__file__).resolve().parents[3] / "clients" / "headroom" / "headroom.js"
CHANNEL = "public-bookings"

url = os.environ.get("LIVE_URL", "")
token_file = os.environ.get("LIVE_TOKEN_FILE", "")

router = APIRouter(include_in_schema=False)


def announce(booking) -> None:
    """Says what anybody may know. A booking is worth more than its announcement: a failure is only logged."""
    if not url:
        return
    data = {
        "location": booking.location.name,
        "service": booking.service.name,
        "starts_at": booking.starts_at.isoformat(timespec="minutes"),
    }
    try:
        request = urllib.request.Request(
            url + "/api/v1/realtime/publish",
            json.dumps({"channels": [CHANNEL], "type": "booked", "data": data}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": "Bearer " + pathlib.Path(token_file).read_text().strip(),
            },
        )
        urllib.request.urlopen(request, timeout=2).close()
    except (OSError, ValueError) as error:
        logging.getLogger("uvicorn.error").warning(
            "booking %s was not announced: %s", booking.id, error
        )


LIVE = """
<p id="state">connecting</p>
<ul id="bookings"></ul>
<script type="module">
import { Headroom } from "/headroom.js";
const hub = new Headroom();
hub.onstate = (state) => { document.getElementById("state").textContent = state; };
hub.subscribe("CHANNEL", ({ type, data }) => {
  if (type !== "booked") return;
  const item = document.createElement("li");
  item.textContent = data.service + " at " + data.location + ", " + data.starts_at.replace("T", " ");
  document.getElementById("bookings").prepend(item);
});
</script>
""".replace("CHANNEL", CHANNEL)


@router.get("/live")
def live():
    from .pages import html_page

    return HTMLResponse(html_page("Bookings as they come", LIVE))


@router.get("/headroom.js")
def client():
    return FileResponse(CLIENT, media_type="text/javascript")
