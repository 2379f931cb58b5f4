// headroom/server/dashboard.h - the dashboard's files, held in the binary, and signing in to it.
//
// The files are built from dashboard/ (TypeScript) with the binary; without npm there are none, and `/` is a line of text.
// A session is a signed cookie, HttpOnly and SameSite=Strict, got for a token; what changes something is also checked for its origin (api.h).
// Owns: nothing; the files are constants.
#pragma once

#include <span>
#include <string_view>

#include "headroom/server/api.h"

namespace headroom::server {

struct Asset {
  std::string_view path;  // "/dashboard/app.js"
  std::string_view content_type;
  std::string_view etag;     // with its quotes
  std::string_view gzipped;  // the only form there is
};
[[nodiscard]] std::span<const Asset> dashboard_assets();  // made by dashboard/build.py

// `first_page` is what `/` says to who asks for no HTML.
void add_dashboard(Api& api, std::string_view first_page);

}  // namespace headroom::server
