#include "headroom/tasks/session.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

#include "headroom/auth/crypto.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/fwp/reply.h"

namespace headroom::tasks {
namespace {

constexpr std::uint32_t kLeastRounds = 4000;
constexpr std::uint32_t kRoundsSpread = 4096;
constexpr std::size_t kSaltBytes = 8;
constexpr std::array<std::string_view, static_cast<std::size_t>(fwp::Verb::unknown) + 1> kVerbNames{
    "HELLO", "PUSH",   "PUSHB", "FETCH", "ACK",   "FAIL", "BEAT",   "INFO",
    "FLUSH", "MUTATE", "QUEUE", "TRACK", "BATCH", "END",  "unknown"};

// What a client must send for this password (Faktory's protocol): SHA-256 of password and salt, `rounds` times over, in hexadecimal.
std::string expected_hash(const std::string& password, const std::string& salt,
                          std::uint32_t rounds) {
  auth::Digest digest = auth::sha256(password + salt);
  for (std::uint32_t i = 1; i < rounds; ++i) digest = auth::sha256(text_of(digest));
  return text::hex(text_of(digest));
}

// Whether the client has ended the connection, with nothing before its end left to read. No system call in the common case.
bool has_left(net::Stream& stream) {
  if (stream.silent()) return false;
  if (stream.tls() != nullptr && (SSL_get_shutdown(stream.tls()) & SSL_RECEIVED_SHUTDOWN) != 0)
    return true;
  char byte = 0;
  const ssize_t n = ::recv(stream.native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

const std::string& password_of(const TasksOptions& options, const std::string& username) {
  const auto user = options.users.find(username);
  return user == options.users.end() ? options.password : user->second;
}

}  // namespace

SessionCells::SessionCells(metrics::Registry& registry, std::size_t worker)
    : connections_(&registry.counter(kConnections).at(worker)),
      refused_limit_(&registry.counter(kConnectionsRefused, {"limit"}).at(worker)),
      refused_hello_(&registry.counter(kConnectionsRefused, {"hello"}).at(worker)),
      refused_password_(&registry.counter(kConnectionsRefused, {"password"}).at(worker)) {
  for (std::size_t verb = 0; verb < commands_.size(); ++verb) {
    commands_[verb][0] =
        &registry.counter(kCommands, {std::string(kVerbNames[verb]), "refused"}).at(worker);
    commands_[verb][1] =
        &registry.counter(kCommands, {std::string(kVerbNames[verb]), "done"}).at(worker);
  }
}

Session::Session(const SessionShared& shared, SessionCells& cells, net::TaskGroup& group, int fd,
                 const net::Endpoint& peer)
    : shared_(shared),
      cells_(cells),
      group_(group),
      worker_(group.worker()),
      peer_(peer.ip()),
      stream_(group, fd, peer.family()),
      in_(worker_.buffers()) {}

net::Task<> Session::run() {
  const bool greeted = co_await greet();
  if (!greeted) co_return;
  for (;;) {
    const auto line = co_await read_line();
    if (!line) break;
    const fwp::Command command = fwp::parse_command(*line);
    if (command.verb == fwp::Verb::end) break;
    refused_ = false;
    co_await obey(command);
    if (fetched_ && has_left(stream_))
      break;  // it went away while it waited, and never sees the job
    cells_.command(command.verb, !refused_);
    shared_.commands.fetch_add(1, std::memory_order_relaxed);
    finish_line();
    const bool written = co_await write();
    if (!written) break;
  }
  if (fetched_)
    shared_.engine.tell([lease = *fetched_](Board& board, const Now&) { board.give_back(lease); });
  if (!wid_.empty())
    shared_.engine.tell([wid = wid_](Board& board, const Now& now) { board.disconnect(wid, now); });
}

net::Task<bool> Session::greet() {
  stream_.expire_at(Clock::now() + kHelloTime);
  if (shared_.tls) {
    auto shaken = co_await stream_.accept_tls(shared_.tls->context(worker_.index()));
    if (!shaken) co_return false;
    stream_.expire_at(Clock::now() + kHelloTime);
  }
  const bool asks = !shared_.options.password.empty() || !shared_.options.users.empty();
  const std::string salt = asks ? text::random_hex(kSaltBytes) : "";
  const auto rounds =
      static_cast<std::uint32_t>(kLeastRounds + worker_.random().below(kRoundsSpread));
  out_ = fwp::greeting(salt, rounds);
  const bool sent = co_await write();
  if (!sent) co_return false;
  stream_.expire_reads_at(Clock::now() + kHelloTime);
  const auto line = co_await read_line();
  const auto command = line ? fwp::parse_command(*line) : fwp::Command{};
  if (command.verb != fwp::Verb::hello || !command.arguments.starts_with('{')) {
    cells_.refused_hello();
    co_return false;
  }
  const auto hello = fwp::parse_hello(command.arguments);
  finish_line();
  if (!hello) {
    cells_.refused_hello();
    fwp::append_error(out_, "ERR", hello.error().message);
    (void)co_await write();
    co_return false;
  }
  if (asks) {
    const Result<bool> fits = co_await password_fits(*hello, salt, rounds);
    if (!fits) {
      fwp::append_error(out_, "ERR", "Too many log in at once, try again");
      (void)co_await write();
      co_return false;
    }
    if (!*fits) {
      cells_.refused_password();
      fwp::append_error(out_, "ERR", "Invalid password");
      (void)co_await write();
      co_return false;
    }
  }
  cells_.connected();
  greeted_ = true;
  wid_ = hello->wid;
  if (!wid_.empty()) {
    WorkerIdentity identity{hello->wid, hello->hostname, hello->pid, hello->labels};
    shared_.engine.tell([identity = std::move(identity)](Board& board, const Now& now) {
      board.connect(identity, now);
    });
  }
  out_ = fwp::kOk;
  co_return co_await write();
}

// Errc::overloaded: nobody has looked at it.
net::Task<Result<bool>> Session::password_fits(const fwp::Hello& hello, std::string salt,
                                               std::uint32_t rounds) {
  const std::string& password = password_of(shared_.options, hello.username);
  if (password.empty()) co_return false;
  auto work = [password, salt = std::move(salt), rounds] {
    return expected_hash(password, salt, rounds);
  };
  auto wanted = co_await shared_.log_ins.run(worker_, peer_, std::move(work));
  if (!wanted) co_return pass(wanted);
  co_return auth::constant_time_equal(*wanted, hello.pwdhash);
}

net::Task<std::optional<std::string_view>> Session::read_line() {
  std::size_t searched = 0;
  std::optional<TimePoint> begun;  // until when the rest of the line must come
  for (;;) {
    const std::string_view have = in_.data();
    if (const std::size_t end = have.find('\n', searched); end != std::string_view::npos) {
      line_bytes_ = end + 1;
      co_return have.substr(0, end);
    }
    searched = have.size();
    const std::size_t most = greeted_ ? shared_.options.line_limit.count : kHelloLimit;
    if (searched > most) {
      fwp::append_error(
          out_, "ERR",
          greeted_ ? "the line is longer than tasks.line_limit" : "the HELLO is too long");
      refused_ = true;
      (void)co_await write();
      co_return std::nullopt;
    }
    if (greeted_)
      stream_.expire_reads_at(searched == 0 ? kNever
                              : begun       ? *begun
                                            : *(begun = Clock::now() + kLineTime));
    const std::size_t least = searched > 0 && searched == in_.capacity() ? searched : 1;
    const auto read = co_await stream_.read_into(in_, least);
    if (!read || *read == 0) co_return std::nullopt;
  }
}

void Session::finish_line() {
  in_.consume(line_bytes_);
  line_bytes_ = 0;
  if (in_.empty()) in_.release();
}

net::Task<bool> Session::write() {
  stream_.expire_writes_at(Clock::now() + kWriteTime);
  const auto written = co_await stream_.write(out_);
  if (out_.capacity() > 4096) {
    out_ = {};
  } else {
    out_.clear();
  }
  if (written) fetched_.reset();
  co_return written.has_value();
}

}  // namespace headroom::tasks
