// headroom/server/session_key.h - what browsers' cookies are signed with, the dashboard's and those that follow a visitor's writes (their purposes
// keep them apart): as the settings say, or a key of this server's own, which its state directory keeps so that a restart or a take-over forgets nobody. What the
// SQL proxy shows to logins of users that are not there comes of that key, too.
//
// Worker and threads: any but a worker's; two at once agree on one key. Invariants: (1) the file is for its owner alone and is made whole or not at all; (2) a key that cannot be read or kept
// is replaced by one of this process alone, with a warning: browsers then sign in again after its end, and lose a minute's positions.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "headroom/auth/signed_value.h"

namespace headroom::server {

// This server's own. For another purpose than cookies: a key made of it.
[[nodiscard]] std::string own_key(const std::filesystem::path& directory);
// `keys`: the settings'; empty: that of the directory. Errc::invalid: a key that is too short.
[[nodiscard]] Result<auth::Signer> session_signer(const std::vector<std::string>& keys,
                                                  const std::filesystem::path& directory);

}  // namespace headroom::server
