#include "headroom/postgres/login.h"

#include <fmt/format.h>

#include "headroom/pgwire/messages.h"

namespace headroom::postgres {

using pgwire::Auth;
using pgwire::Message;
using pgwire::from_client::kPassword;

Result<> Login::take(std::string_view body, std::string& out) {
  pgwire::Reader in(body);
  const auto code = static_cast<Auth>(in.u32());
  const std::string_view data = in.rest();
  if (in.failed()) return fail(Errc::protocol, "malformed authentication message");
  const bool first = step_ == Step::begun;
  if (code == Auth::ok && (first || step_ == Step::password_sent || step_ == Step::sasl_proven)) {
    step_ = Step::ok;
    return {};
  }
  if (code == Auth::cleartext && first) {
    if (transport_ == Transport::open)
      return fail(Errc::unauthorized,
                  "the server asks for the password in clear, which is sent over TLS only");
    if (who_.password.empty())
      return fail(Errc::unauthorized, "the server asks for a password, and none is known");
    step_ = Step::password_sent;
    Message(out, kPassword).text(who_.password);
    return {};
  }
  if (code == Auth::md5 && first && data.size() == 4) {
    if (who_.password.empty() && who_.md5.empty())
      return fail(Errc::unauthorized, "the server asks for a password, and none is known");
    step_ = Step::password_sent;
    Message(out, kPassword)
        .text(
            md5_answer(who_.md5.empty() ? md5_password(who_.user, who_.password) : who_.md5, data));
    return {};
  }
  if (code == Auth::sasl && first) return begin_sasl(data, out);
  if (code == Auth::sasl_continue && step_ == Step::sasl_begun) return continue_sasl(data, out);
  if (code == Auth::sasl_final && step_ == Step::sasl_answered) {
    step_ = Step::sasl_proven;
    return scram_->verify(data);
  }
  return fail(
      Errc::protocol,
      fmt::format(
          "the server asks for authentication {} out of order, or a kind that is not supported",
          static_cast<std::uint32_t>(code)));
}

Result<> Login::begin_sasl(std::string_view mechanisms, std::string& out) {
  bool plain = false;
  bool plus = false;
  for (pgwire::Reader in(mechanisms); in.left() > 0 && !in.failed();) {
    const std::string_view name = in.text();
    plain = plain || name == kScram;
    plus = plus || name == kScramPlus;
  }
  if (!plain && !plus)
    return fail(Errc::unauthorized,
                "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
  if (who_.password.empty() && !who_.keys)
    return fail(Errc::unauthorized, "the server asks for a password, and none is known");
  plus = plus && !binding_.empty();
  step_ = Step::sasl_begun;
  scram_.emplace(plus ? binding_ : std::string());
  const std::string first = scram_->first();
  Message(out, kPassword)
      .text(plus ? kScramPlus : kScram)
      .u32(static_cast<std::uint32_t>(first.size()))
      .bytes(first);
  return {};
}

Result<> Login::continue_sasl(std::string_view data, std::string& out) {
  auto challenge = scram_->challenge(data);
  if (!challenge) return pass(challenge);
  if (who_.keys) {
    provide(*who_.keys, out);
  } else {
    challenge_ = std::move(*challenge);
  }
  return {};
}

void Login::provide(const ScramKeys& keys, std::string& out) {
  challenge_.reset();
  step_ = Step::sasl_answered;
  Message(out, kPassword).bytes(scram_->final(keys));
}

}  // namespace headroom::postgres
