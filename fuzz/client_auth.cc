#include "headroom/sql/client_auth.h"

#include "fuzz/input.h"
#include "headroom/pgwire/frame.h"

// A client that sends anything never gets in: nobody here knows the password.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headroom;
  static const sql::Secret kSecrets[] = {
      sql::parse_secret("a password", "user", "key"),
      sql::parse_secret("md5" + std::string(32, 'a'), "user", "key")};
  std::string_view left = input_text(data, size);
  if (left.empty()) return 0;
  const auto choice = static_cast<unsigned char>(left[0]);
  left.remove_prefix(1);
  const sql::Secret* secret = (choice & 1U) != 0 ? &kSecrets[choice >> 1U & 1U] : nullptr;
  sql::ClientAuth auth("user", secret, (choice & 4U) != 0 ? sql::Auth::md5 : sql::Auth::scram,
                       (choice & 8U) != 0 ? "binding" : "", "key");
  std::string out;
  auth.begin(out);
  pgwire::Frame frame;
  while (pgwire::find_frame(left, frame) == pgwire::Found::frame && frame.size <= left.size()) {
    const auto done = auth.take(frame.type, left.substr(pgwire::kHeader, frame.body()), out);
    if (done && *done) __builtin_trap();
    left.remove_prefix(frame.size);
  }
  return 0;
}
