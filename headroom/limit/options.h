// headroom/limit/options.h - the settings of rate limits as values; the tables that read them are in options.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "headroom/auth/jwt_settings.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::limit {

inline constexpr std::size_t kMostRules = 64;

enum class Algorithm : std::uint8_t { sliding, gcra, fixed, concurrency };
inline constexpr std::array<config::Choice<Algorithm>, 4> kAlgorithms{
    {{"sliding", Algorithm::sliding},
     {"gcra", Algorithm::gcra},
     {"fixed", Algorithm::fixed},
     {"concurrency", Algorithm::concurrency}}};
constexpr const auto& setting_choices(Algorithm) { return kAlgorithms; }

enum class Mode : std::uint8_t { enforce, shadow };
inline constexpr std::array<config::Choice<Mode>, 2> kModes{
    {{"enforce", Mode::enforce}, {"shadow", Mode::shadow}}};
constexpr const auto& setting_choices(Mode) { return kModes; }

// The rates the seeds' task platform and FastNext name.
enum class Preset : std::uint8_t { none, auth, api, heavy, realtime, address };
inline constexpr std::array<config::Choice<Preset>, 6> kPresets{{{"none", Preset::none},
                                                                 {"auth", Preset::auth},
                                                                 {"api", Preset::api},
                                                                 {"heavy", Preset::heavy},
                                                                 {"realtime", Preset::realtime},
                                                                 {"address", Preset::address}}};
constexpr const auto& setting_choices(Preset) { return kPresets; }

// [[limit.rules.tiers]]
struct TierOptions {
  std::string name;  // and the value of the tier claim or header that means it
  std::optional<config::Rate> rate;
  std::uint32_t burst = 0;
  std::uint32_t at_once = 0;
  double share = 0;
  std::vector<std::string> users;
  bool operator==(const TierOptions&) const = default;
};

// [[limit.rules]]
struct RuleOptions {
  std::string name;
  Preset preset{};
  Mode mode{};
  std::vector<std::string> routes;  // names; empty: all, as of each that follows
  std::string host;
  std::string path;
  std::vector<std::string> methods;
  std::string header;   // "Name" or "Name: value"
  std::string subject;  // empty: the preset's, else user
  Algorithm algorithm{};
  std::optional<config::Rate> rate;
  std::uint32_t burst = 0;    // gcra; 0: the rate's count
  std::uint32_t at_once = 0;  // concurrency
  std::uint32_t cost = 1;
  std::map<std::string, std::uint32_t> costs;  // "POST", "/reports", "POST /reports"
  std::vector<TierOptions> tiers;
  std::uint32_t max_subjects = 0;
  bool operator==(const RuleOptions&) const = default;
};

// [limit.jwt]
struct JwtOptions : auth::JwtSettings {
  std::string tier_claim;
};

// [limit]
struct LimitOptions {
  bool enabled = true;
  bool headers = true;
  std::optional<config::Rate> address_rate;
  JwtOptions jwt;
  std::string api_key_header;
  std::map<std::string, std::string> api_keys;  // name: "sha256:..."
  std::string tier_header;
  std::vector<RuleOptions> rules;
};

[[nodiscard]] const config::Section<LimitOptions>& limit_section();
[[nodiscard]] const config::Section<RuleOptions>& rule_section();

// The rule with its preset's rate and subject filled in.
[[nodiscard]] RuleOptions with_preset(RuleOptions rule);

// Errc::invalid unless each route that a rule names is one of `routes`; for the check over all rooms' settings.
[[nodiscard]] Result<> check_routes(const LimitOptions& options,
                                    const std::vector<std::string>& routes);

}  // namespace headroom::limit
