// headroom/server/openapi.h - the endpoint table as an OpenAPI 3.1 document, and as a page for people.
//
// Owns: nothing; a pure function. Worker and threads: any.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/api.h"

namespace headroom::server {

// OpenAPI has no parameter of several segments: {server...} is written {server}, with a note that its slashes be escaped or not.
[[nodiscard]] std::string openapi(const std::vector<Endpoint>& endpoints);
// docs/api.md: every path by its room, with who may ask.
[[nodiscard]] std::string api_page(const std::vector<Endpoint>& endpoints);

}  // namespace headroom::server
