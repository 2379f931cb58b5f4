#include "headroom/edge/unkeyed.h"

#include <algorithm>
#include <array>
#include <string>

#include "headroom/base/text.h"

namespace headroom::edge {
namespace {

constexpr std::array<std::string_view, 14> kOverrides{"x-envoy-original-path",
                                                      "x-host",
                                                      "x-http-host-override",
                                                      "x-http-method",
                                                      "x-http-method-override",
                                                      "x-method-override",
                                                      "x-original-forwarded-host",
                                                      "x-original-host",
                                                      "x-original-path",
                                                      "x-original-url",
                                                      "x-override-url",
                                                      "x-rewrite-url",
                                                      "x-script-name",
                                                      "x-wap-profile"};
constexpr std::array<std::string_view, 4> kTold{"front-end-https", "x-forwarded", "x-scheme",
                                                "x-url-scheme"};
constexpr std::array<std::string_view, 6> kClients{
    "cf-connecting-ip", "client-ip",           "true-client-ip",
    "x-client-ip",      "x-cluster-client-ip", "x-original-forwarded-for"};
static_assert(std::ranges::is_sorted(kOverrides) && std::ranges::is_sorted(kTold) &&
              std::ranges::is_sorted(kClients));
constexpr std::string_view kForwarded = "x-forwarded-";

bool may_be_one(const http::Field& field) {
  if (field.id != http::Name::other) return field.id == http::Name::x_forwarded_prefix;
  const char first = field.name.empty() ? ' ' : text::lower(field.name.front());
  return first == 'x' || first == 'c' || first == 'f' || first == 't';
}

}  // namespace

Unkeyed unkeyed(const http::Field& field) {
  if (!may_be_one(field)) return Unkeyed::no;
  std::string name = text::lowered(field.name);
  std::ranges::replace(name, '_', '-');
  if (std::ranges::binary_search(kOverrides, name)) return Unkeyed::override_target;
  if (std::ranges::binary_search(kClients, name)) return Unkeyed::client_address;
  return name.starts_with(kForwarded) || std::ranges::binary_search(kTold, name)
             ? Unkeyed::told_by_proxy
             : Unkeyed::no;
}

}  // namespace headroom::edge
