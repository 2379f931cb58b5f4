// headroom/postgres/url.h - where a PostgreSQL server is and who logs in: postgresql://user:password@host:port/database?sslmode=require.
//
// A value. Also host lists with several servers separated by commas are read, one Target each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::postgres {

// As libpq's sslmode; `prefer` is its default.
enum class TlsMode : std::uint8_t { disable, prefer, require, verify_full };

struct Target {
  std::string host =
      "localhost";  // a name, an IP literal, or the directory of a Unix socket ("/run/postgresql")
  std::uint16_t port = 5432;
  std::string user{};
  std::string password{};
  std::string database{};
  TlsMode tls = TlsMode::prefer;
  std::string root_certificate{};  // sslrootcert
  std::string options{};           // of the start-up packet

  [[nodiscard]] bool is_unix() const { return host.starts_with('/'); }
  // "db.internal:5432", "/run/postgresql:5432": without user and password.
  [[nodiscard]] std::string address() const;
  bool operator==(const Target&) const = default;
};

// postgresql:// or postgres://, also with SQLAlchemy's driver (postgresql+asyncpg://). Errc::invalid, without the password.
[[nodiscard]] Result<Target> parse_url(std::string_view url);

}  // namespace headroom::postgres
