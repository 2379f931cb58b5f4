#include "headroom/server/openapi.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "headroom/base/text.h"
#include "headroom/json/writer.h"
#include "headroom/server/sources.h"

namespace headroom::server {
namespace {

constexpr std::string_view kErrorSchema =
    R"({"type":"object","required":["error"],"properties":{"error":{"type":"object","required":["code","message"],)"
    R"("properties":{"code":{"type":"string"},"message":{"type":"string"}}}}})";

std::string public_path(std::string path) {
  for (std::size_t at = path.find("...}"); at != std::string::npos; at = path.find("...}"))
    path.erase(at, 3);
  return path;
}

// "getApiV1Overview": unique because method and path are.
std::string operation_id(const Endpoint& endpoint) {
  std::string id = text::lowered(http::to_string(endpoint.method));
  bool capital = true;
  for (const char c : endpoint.path) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (word) id += capital && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    capital = !word;
  }
  return id;
}

void write_parameters(json::Writer& out, const std::string& path, std::string_view query) {
  out.key("parameters").begin_array();
  for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
    const std::size_t end = path.find('}', at);
    out.begin_object()
        .field("name", path.substr(at + 1, end - at - 1))
        .field("in", "path")
        .field("required", true);
    out.key("schema").begin_object().field("type", "string").end_object().end_object();
  }
  for (const std::string_view name : text::split(query, ' ')) {
    out.begin_object().field("name", name).field("in", "query");
    out.key("schema").begin_object().field("type", "string").end_object().end_object();
  }
  out.end_array();
}

void write_response(json::Writer& out, std::string_view status, std::string_view description,
                    std::string_view content_type, std::string_view schema) {
  out.key(status).begin_object().field("description", description);
  out.key("content").begin_object().key(content_type).begin_object();
  out.key("schema").raw(schema);
  out.end_object().end_object().end_object();
}

void write_operation(json::Writer& out, const Endpoint& endpoint) {
  out.key(text::lowered(http::to_string(endpoint.method))).begin_object();
  out.field("operationId", operation_id(endpoint)).field("summary", endpoint.summary);
  out.key("tags").begin_array().value(endpoint.tag).end_array();
  write_parameters(out, public_path(endpoint.path), endpoint.query);
  out.key("security").begin_array();
  if (endpoint.role != auth::Role::none) {
    out.begin_object().key("token").begin_array().end_array().end_object();
    out.end_array().field("x-role", auth::to_string(endpoint.role));
  } else {
    out.end_array();
  }
  if (!endpoint.request_schema.empty()) {
    out.key("requestBody").begin_object().field("required", true).key("content").begin_object();
    out.key("application/json").begin_object().key("schema").raw(endpoint.request_schema);
    out.end_object().end_object().end_object();
  }
  if (endpoint.takes == Takes::bytes) {
    out.key("requestBody").begin_object().key("content").begin_object().key("*/*").begin_object();
    out.end_object().end_object().end_object();
  }
  const bool json = endpoint.content_type == "application/json";
  out.key("responses").begin_object();
  write_response(out, endpoint.method == http::Method::post ? "2XX" : "200", "The answer.",
                 endpoint.content_type, json ? R"({"type":"object"})" : R"({"type":"string"})");
  write_response(out, "default", "Why not.", "application/json",
                 R"({"$ref":"#/components/schemas/Error"})");
  out.end_object().end_object();
}

}  // namespace

std::string openapi(const std::vector<Endpoint>& endpoints) {
  std::map<std::string, std::vector<const Endpoint*>> by_path;
  for (const Endpoint& endpoint : endpoints)
    by_path[public_path(endpoint.path)].push_back(&endpoint);
  std::string text;
  json::Writer out(text);
  out.begin_object().field("openapi", "3.1.0");
  out.key("info").begin_object().field("title", "Headroom").field("version", kVersion).end_object();
  out.key("paths").begin_object();
  for (const auto& [path, operations] : by_path) {
    out.key(path).begin_object();
    for (const Endpoint* endpoint : operations) write_operation(out, *endpoint);
    out.end_object();
  }
  out.end_object();
  out.key("components").begin_object();
  out.key("schemas").begin_object().key("Error").raw(kErrorSchema).end_object();
  out.key("securitySchemes").begin_object().key("token").begin_object();
  out.field("type", "http").field("scheme", "bearer").end_object().end_object();
  out.end_object().end_object();
  return text;
}

std::string api_page(const std::vector<Endpoint>& endpoints) {
  std::map<std::string_view, std::map<std::string, const Endpoint*>> by_tag;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.path.starts_with("/dashboard/")) continue;  // files of a build
    by_tag[endpoint.tag].emplace(
        fmt::format("{} {}", public_path(endpoint.path), http::to_string(endpoint.method)),
        &endpoint);
  }
  std::string out =
      "# The admin API\n\n"
      "Generated from the tables in the code; do not edit. Every path of the admin address, with "
      "the role it needs "
      "([auth.md](auth.md)); `edge`: also answered there with `[admin] on_edge`. `/openapi.json` "
      "has the same with the "
      "shapes of bodies. A query's names stand behind `?`, others are refused where there are "
      "any.\n";
  for (const auto& [tag, rows] : by_tag) {
    out += fmt::format("\n## {}\n\n| method and path | who | |\n|---|---|---|\n", tag);
    for (const auto& [key, endpoint] : rows) {
      const auto names = text::split(endpoint->query, ' ');
      out += fmt::format(
          "| {} `{}{}` | {}{} | {} |\n", http::to_string(endpoint->method),
          public_path(endpoint->path),
          endpoint->query.empty() ? "" : fmt::format("?{}", fmt::join(names, "&")),
          endpoint->role == auth::Role::none ? "public" : auth::to_string(endpoint->role),
          endpoint->place == Place::admin_and_edge ? "; edge" : "", endpoint->summary);
    }
  }
  out.pop_back();  // print_docs ends each document
  return out;
}

}  // namespace headroom::server
