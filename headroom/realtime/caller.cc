#include "headroom/realtime/caller.h"

#include <algorithm>

namespace headroom::realtime {
namespace {

constexpr std::string_view kUser = "user:";
constexpr std::string_view kGroup = "group:";
constexpr std::string_view kLocation = "location:";
constexpr std::string_view kServerToUser = "#server-to-user-";
constexpr std::size_t kMostNames = 64;
constexpr std::size_t kNameBytes = 128;

// A text, a number, or a list of them.
std::vector<std::string> names_at(const json::Value& claims, const std::string& path) {
  std::vector<std::string> names;
  const auto claim = path.empty() ? std::nullopt : auth::claim_at(claims, path);
  if (!claim) return names;
  const auto take = [&](const json::Value& value) {
    std::string name = name_in(value);
    if (!name.empty() && name.size() <= kNameBytes && names.size() < kMostNames)
      names.push_back(std::move(name));
  };
  if (claim->kind() != json::Kind::array) {
    take(*claim);
    return names;
  }
  for (std::size_t i = 0; i < claim->size(); ++i) take(claim->item(i));
  return names;
}

std::optional<auth::WallTime> issued_at(const json::Value& claims) {
  const auto claim = claims.find("iat");
  const auto seconds = claim ? claim->number() : std::nullopt;
  if (!seconds || *seconds < 0 || *seconds > 1e11) return std::nullopt;
  return auth::WallTime(std::chrono::seconds(static_cast<std::int64_t>(*seconds)));
}

bool is_below(std::string_view location, std::string_view above) {
  return location == above || (location.starts_with(above) && location.size() > above.size() &&
                               location[above.size()] == '/');
}

}  // namespace

std::string name_in(const json::Value& value) {
  if (const auto text = value.string()) return std::string(*text);
  if (value.kind() != json::Kind::number) return {};
  constexpr std::int64_t kExact =
      1LL << 53U;  // from it on a number with a fraction or an exponent may be another
  std::string digits = value.text();
  if (digits.find_first_not_of("-0123456789") == std::string::npos) return digits;
  const auto number = value.integer();
  return number && std::abs(*number) < kExact ? std::to_string(*number) : std::string();
}

Result<Caller> caller_of(const Settings& settings, std::string_view token, auth::WallTime now) {
  if (!settings.verifier) return fail(Errc::unauthorized, "no keys are configured (realtime.jwt)");
  auto claims = settings.verifier->verify(token, now);
  if (!claims) return pass(claims);
  const JwtOptions& options = settings.options.jwt;
  const json::Value root = claims->document.root();
  auto name = names_at(root, options.name_claim);
  if (name.size() != 1)
    return fail(Errc::unauthorized, "the token names no user (" + options.name_claim + ")");
  Caller caller{std::move(name[0]), names_at(root, options.group_claim),
                names_at(root, options.location_claim), claims->expires, issued_at(root)};
  return caller;
}

bool is_plain_channel(std::string_view name) {
  constexpr std::string_view kMarks = "_-=@,.;:/#";
  return !name.empty() && name.size() <= 200 && std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.contains(c);
  });
}

Listening may_listen(const RealtimeOptions& options, const Caller& caller,
                     std::string_view channel) {
  const auto when = [](bool allowed) { return allowed ? Listening::yes : Listening::no; };
  if (channel == kBroadcast || options.is_public(channel)) return Listening::yes;
  if (channel.starts_with(kUser))
    return when(caller.known() && channel.substr(kUser.size()) == caller.name);
  if (channel.starts_with(kGroup))
    return when(std::ranges::find(caller.groups, channel.substr(kGroup.size())) !=
                caller.groups.end());
  if (channel.starts_with(kLocation)) {
    const std::string_view location = channel.substr(kLocation.size());
    const bool any = caller.known() && options.jwt.location_claim.empty();
    return when(any || std::ranges::any_of(caller.locations, [&](const std::string& own) {
                  return is_below(location, own) || is_below(own, location);
                }));
  }
  if (channel.starts_with(kServerToUser))
    return when(caller.known() && channel.substr(kServerToUser.size()) == caller.name);
  const bool is_protected =
      shares_app(options) && (channel.starts_with("private-") || channel.starts_with("presence-"));
  if (options.authorization.url.empty()) return when(caller.known() && !is_protected);
  return Listening::ask;
}

bool shares_app(const RealtimeOptions& options) {
  return std::ranges::any_of(options.apps,
                             [&](const AppOptions& each) { return each.id == options.plain_app; });
}

std::vector<std::string> own_channels(const Caller& caller) {
  std::vector<std::string> all{std::string(kBroadcast)};
  if (!caller.known()) return all;
  all.push_back(std::string(kUser) + caller.name);
  for (const std::string& group : caller.groups) all.push_back(std::string(kGroup) + group);
  for (const std::string& location : caller.locations) {
    // What is sent to one above reaches it too.
    for (std::size_t end = location.find('/');; end = location.find('/', end + 1)) {
      std::string channel = std::string(kLocation) + location.substr(0, end);
      if (std::ranges::find(all, channel) == all.end()) all.push_back(std::move(channel));
      if (end == std::string::npos) break;
    }
  }
  std::erase_if(all, [](const std::string& channel) { return !is_plain_channel(channel); });
  return all;
}

}  // namespace headroom::realtime
