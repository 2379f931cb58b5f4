// headroom/edge/browser_session.h - whose browser a request comes from: a signed cookie, so that who has written reads it on replicas too.
//
//   the cookie's value, signed (auth/signed_value.h): id *( " " system "/" timeline "/" lsn )
//
// A browser gets it with the answer to what it has written; it says how far the database's log had come then. An id is made for each request
// that brings none: its writes are noted under that id, whether or not the browser ever hears of it.
// Owns: the keys. Borrows: link. Worker and threads: immutable, shared by all workers.
// Invariants: (1) neither the app nor the cache sees the cookie: pages neither vary nor stand back because of it; (2) it goes out only on what no
//   shared cache may keep, and is kept by none of ours; (3) what was not signed here, for this purpose, within a minute, is as if it were not there;
//   (4) it lives a minute after the last write, as long as positions do: nobody is recognised by it after that.
// Limits: kMostShown values of the name are looked at; positions as link::Positions keeps them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/signed_value.h"
#include "headroom/base/hash.h"
#include "headroom/http/message.h"
#include "headroom/link/positions.h"

namespace headroom::edge {

struct Request;

// Of one request.
struct BrowserSession {
  std::string id;
  std::vector<link::Position> brought{};  // in its cookie
};

class BrowserSessions {
 public:
  static constexpr std::size_t kMostShown = 4;

  BrowserSessions(auth::Signer signer, std::string cookie, link::Positions& positions)
      : signer_(std::move(signer)), cookie_(std::move(cookie)), positions_(positions) {}

  // Before the cache or the app sees the request: takes the cookie out of it, and what it says of the log.
  void begin(Request& request, Random& random) const;
  // A Set-Cookie line, where the request may have written. `head`: the app's answer; null: it has given none.
  void append_cookie(const Request& request, const http::ResponseHead* head,
                     std::string& out) const;

  // The value of a session whose positions these are; and the session again, nothing where it is not ours.
  [[nodiscard]] std::string sign(const std::string& id,
                                 const std::vector<link::Position>& positions,
                                 auth::WallTime now) const;
  [[nodiscard]] std::optional<BrowserSession> open(std::string_view value,
                                                   auth::WallTime now) const;

 private:
  const auth::Signer signer_;
  const std::string cookie_;
  link::Positions& positions_;
};

}  // namespace headroom::edge
